//! The truth test.

mod clock;
mod http;
mod scenarios;
