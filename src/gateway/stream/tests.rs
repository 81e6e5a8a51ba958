//! Streams over an upstream that is a function, on a paused clock.

mod cursor;
mod numbered;
mod support;
mod turned;
