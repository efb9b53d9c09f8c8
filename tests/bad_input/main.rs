//! Invalid bodies, requests and descriptors are rejected with a named error and change nothing.
//!
//! Every case runs the real binary. The cases for bodies start with a lake that holds the same partition from an
//! earlier run.

mod bodies;
mod cases;
mod counts_and_links;
mod descriptors;
mod pages;
mod requests;
mod rows;
