//! The chart, through the real helm: what it renders, what it refuses, and that the binary agrees with it.

mod binary;
mod guards;
mod image;
mod kubernetes;
mod lookup;
mod render;
mod rendered;
mod schema;
