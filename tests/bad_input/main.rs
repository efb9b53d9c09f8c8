//! What is wrong is refused by name, and changes nothing: bodies, requests, descriptors.
//!
//! Every case runs the real binary. A case of a body starts from a lake that holds the same partition from a good run.

mod bodies;
mod cases;
mod counts_and_links;
mod descriptors;
mod pages;
mod requests;
mod rows;
