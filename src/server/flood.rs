//! Protects the gateway against peers who flood it with bytes, calls or connections, or who do not read.
//!
//! A call could be answered without all of this, over the plain sockets and runtime that it replaces. It is kept apart from the
//! code that answers calls, so that a change there needs no knowledge of this, and a change here shows what it is for.
//!
//! What each file does, and how to do without it to measure its effect, is in its own header. The last column names tests: in
//! quotation marks, rows of the table "Under attack" in `docs/security.md`, each of which is a test in `tests/it/attacks.rs`; the
//! others by their module. All figures here were found with such attacks.
//!
//! | file | protects against | test |
//! |---|---|---|
//! | `socket` | floods of frames; peers who never speak HTTP/2 or never read | "empty DATA", "idle connections"; `server`, `room` |
//! | `stall` | peers who ask for large replies and do not read them | `attacks::streams_that_nobody_reads`; `server`, `room` |
//! | `waiting` | calls whose message never comes | "held streams"; those of `deadline` |
//! | `unpack` | messages that grow when unpacked | "gzip bombs"; its own |
//! | `intake` | messages that never end, and small ones that decode to much | `attacks::memory`; its own |
//! | `open` | crowds of idle connections that keep others out | "idle connections", "crowds at the gRPC port"; `room` |
//! | `activity` | nothing by itself: it tells `open` what each connection is worth | `room` |
//! | `workers` | a connection that keeps its thread busy: it delays only those on the same thread | all rows; `workers` |
//!
//! What they share is in `turns`: many peers who each keep a thread busy for their share have turns ("rapid reset",
//! the floods, "oversized headers"; its own tests).
//!
//! To measure without `unpack`, hand `routes` the request as it is: tonic unpacks it in one go. Without `intake`: `SMALL` of
//! `usize::MAX`, so that nothing is charged.
//!
//! Limits that every call or connection meets are elsewhere: the places of calls (`limit`; "held streams"), the bounds on
//! connections and on how many begin at a time (`accept`; "1 GiB length prefix" and "idle connections"), streams per connection
//! and the size of headers (`connection`; "rapid reset" and "oversized headers"), the time for the handshake (`tls`), file
//! descriptors (`descriptors`), the number and length of a call's messages (`framing`), and the admin port's own (`admin::port`).
//! Memory that is no request message is charged where it is taken: metadata and sessions of reflection (`identity::metadata`),
//! handshakes (`tls::handshake`), replies (`rpc`), pages of streams (`gateway::stream::pages`), watched jobs (`gateway::jobs`),
//! and Zendesk's answers (`upstream::transport::body`).

pub(super) mod activity;
pub(super) mod intake;
pub(super) mod open;
pub(super) mod socket;
pub(super) mod stall;
pub mod unpack;
pub(super) mod waiting;
pub mod workers;
