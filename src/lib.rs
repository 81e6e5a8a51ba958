//! A gRPC gateway for Zendesk users, groups and group memberships.
//!
//! The life of a request: [`server`] accepts a connection and routes the call; [`rpc`] takes the message and what its
//! metadata says (deadline, credential) to the [`gateway`]; the gateway asks [`rest`] how the message is said in REST,
//! checks every field, and sends the call down the [`upstream`] stack, whose last layer makes one HTTP exchange with
//! Zendesk and judges it; the JSON body is read straight into the reply message ([`json`]), encoded once ([`codec`]) and
//! sent. Whatever fails becomes one [`error::Error`], whose row in one table decides status, retry and breaker. The facts
//! about each RPC stand in the proto options and reach everyone through [`contract`]. All of it is put together in [`assembly`].
//!
//! # Floors
//!
//! Code imports from floors below its own, and on its own floor only from its own part. A test holds it to this list.
//!
//! | part | what it does |
//! |---|---|
//! | `assembly` | the whole gateway, put together from its settings |
//! | `server` | connections, who calls, limits, and the operators' pages |
//! | `fleet` | which of several replicas leads, and what goes from one to another |
//! | `rpc` | one method for each RPC: the message, the deadline, the credential |
//! | `gateway` | reads, writes, lists, streams and jobs: what a call takes beside one request |
//! | `rest` | how each message is said in REST, and how its answer is read |
//! | `upstream` | one request to Zendesk: the stack of retries, budgets, circuits, and the transport |
//! | `cache` | answers, flights and batches |
//! | `watch` | files that are read again when they change |
//! | `certificates` | certificates in files, and when they end |
//! | `telemetry` | traces, metrics and logs |
//! | `share` | what each caller takes of what all share |
//! | `config` | settings |
//! | `json` | JSON straight into messages |
//! | `error` | every failure, and what it means |
//! | `tls` | what is wrong with a certificate or a handshake, in words |
//! | `limits` | what responses say of the request budget |
//! | `contract` | the facts of each RPC |
//! | `files` | the files that the settings name, read without waiting |
//! | `deadline` | how much of a deadline is left for work |
//! | `turns` | long work in pieces, so that short work need not wait for it |
//! | `codec` | messages that are encoded already |
//! | `proto` | the messages |
//! | `sandbox` | the stand-in for Zendesk |

pub mod assembly;
pub mod cache;
pub mod certificates;
pub mod codec;
pub mod config;
#[macro_use]
pub mod contract;
pub mod deadline;
pub mod error;
pub mod files;
pub mod fleet;
pub mod gateway;
pub mod json;
pub mod limits;
pub mod proto;
pub mod rest;
pub mod rpc;
pub mod server;
pub mod share;
pub mod telemetry;
pub mod tls;
mod turns;
pub mod upstream;
pub mod watch;

#[cfg(feature = "sandbox")]
pub use zendesk_stand_in as sandbox;
