//! What CI runs for minutes, as a program of its own: to compile all tests optimised would take longer than to run these.

#![cfg(feature = "sandbox")]
#![allow(dead_code, unused_imports)] // most of what supports tests is for others

mod support;
mod truth;
mod well_behaved;
