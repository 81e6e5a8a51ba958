//! The generated contract: messages, services and clients of `proto/zendesk/gateway/v1`.

#![allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    rustdoc::bare_urls,
    unused_qualifications,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/zendesk.gateway.v1.rs"));

/// The encoded descriptor set, custom options included; reflection serves these very bytes.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
