//! A gRPC gateway for Zendesk users, groups and group memberships.
//!
//! The life of a request: [`server`] accepts a connection and routes the call; [`rpc`] takes the message and what its
//! metadata says (deadline, credential) to the [`gateway`]; the gateway asks [`rest`] how the message is said in REST,
//! checks every field, and sends the call down the [`upstream`] stack, whose last layer makes one HTTP exchange with
//! Zendesk and judges it; the JSON body is read straight into the reply message ([`json`]), encoded once ([`codec`]) and
//! sent. Whatever fails becomes one [`error::Error`], whose row in one table decides status, retry and breaker. The facts
//! about each RPC stand in the proto options and reach everyone through [`contract`].
//!
//! `use` lines point only downwards: server → rpc → gateway → upstream, beside them rest; error, config, json, watch and
//! telemetry are the floor.

pub mod cache;
pub mod codec;
pub mod config;
pub mod contract;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
pub mod json;
pub mod proto;
pub mod rest;
pub mod rpc;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod server;
pub mod telemetry;
pub mod upstream;
pub mod watch;
