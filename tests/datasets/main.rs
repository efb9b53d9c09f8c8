//! `rollcall datasets`: descriptors generated from the portal's metadata, and how they are listed and checked.

mod generate;
mod metadata;
