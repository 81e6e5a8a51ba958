//! What CI tries for minutes, as a program of its own: built optimised, all tests together take as long to compile as to run.

#![cfg(feature = "sandbox")]
#![allow(dead_code, unused_imports)] // most of what supports tests is for others

mod support;
mod truth;
mod well_behaved;
