//! `rollcall datasets`: descriptors generated from the portal's metadata, and how they are listed and checked.

mod axes;
mod check;
mod drift;
mod generate;
mod metadata;
mod several;
mod simulated;
mod views;
