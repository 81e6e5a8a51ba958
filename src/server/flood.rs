//! Protects the gateway against peers who flood it with bytes, calls or connections, or who do not read.
//!
//! A call could be answered without all of this, over the plain sockets and runtime that it replaces. It is kept apart from the
//! code that answers calls, so that a change there needs no knowledge of this, and a change here shows what it is for.
//!
//! What each file does, and how to do without it to measure its effect, is in its own header. In the column of tests, quotation
//! marks stand for rows of the table "Under attack" in `docs/security.md`, each of which is a test in `tests/it/attacks.rs`; the
//! others are named by their module.
//!
//! | file | protects against | test |
//! |---|---|---|
//! | `socket` | floods of frames; peers who never speak HTTP/2 or never read | PING floods, "idle connections"; `server`, `room` |
//! | `frames` | frames and blocks of headers that never end | `room`; its own |
//! | `late` | nobody: it keeps clients who send calls after the last GOAWAY from ending those under way | `drain`; its own |
//! | `stall` | peers who ask for large replies and do not read them | `attacks::streams_that_nobody_reads`; `server`, `room` |
//! | `waiting` | calls whose message never comes | "held streams"; those of `deadline` |
//! | `unpack` | messages that grow when unpacked | "gzip bombs"; its own |
//! | `intake` | messages that never end, and small ones that decode to much | `attacks::memory`; its own |
//! | `open` | crowds of idle connections that keep others out | "idle connections", "crowds at the gRPC port"; `room` |
//! | `activity` | nothing by itself: it tells `open` what each connection is worth | `room` |
//! | `workers` | nothing that shows: see below | `workers` |
//!
//! What they share is in `turns`: many peers who each keep a thread busy for their share have turns ("rapid reset",
//! the floods, "oversized headers"; its own tests).
//!
//! What each is worth, measured with it and without it: on two cores that others used, too, not optimised, at the smaller scale of
//! every `.ci/run`. Times of such a run tell of a difference only if it is large.
//!
//! | mechanism | measure | with | without |
//! |---|---|---|---|
//! | `turns` | p99 of another caller, "oversized headers", twice | 64 and 85 ms | 423 and 997 ms |
//! | `turns` | the same, "rapid reset" and "empty DATA" | 70 to 242 ms | 81 to 261 ms: no difference, both end too soon |
//! | `turns`: own queue to begin | a connection that begins beside 50 who work long | after 5 parts of it at most | later |
//! | `unpack` | p99 of another caller, "gzip bombs", twice | 22 and 42 ms | 405 and 489 ms |
//! | `intake` | memory of `attacks::memory`, of 64 MiB at most | 51 MiB | 82 MiB |
//! | `open`: idle connections make room | a newcomer among "idle connections" | 0.7 s | 4.9 s, when the preface is late |
//! | the same | probes lost, "crowds at the gRPC port" | 0 | the first one |
//! | `open`: newcomers are displaced | a newcomer from elsewhere beside a crowd (`room`) | gets in | is closed |
//! | `socket`: time to the preface | a connection that sends nothing (`room`) | closed in time | still open a minute later |
//! | `socket`: a turn is given up | long work beside a peer who floods and does not read | goes on | waits for 10 s and longer |
//! | `socket`: time to take something | a connection whose peer takes nothing | cut after `send_timeout` | not cut |
//! | `socket`: reads in portions | p99 of another caller, "PING flood" and "empty DATA" | 29 to 164 ms | no difference |
//! | `late` | a call under way when others come after the last GOAWAY (`drain`) | is answered | breaks off |
//! | `stall`: the timeout | a stream that nobody reads (`server`) | reset after `send_timeout` | still open a minute later |
//! | `stall`: pieces | a reply of 1.4 MB that nobody reads, `send_timeout` of 1 s | reset within 3 s | still open after 15 s |
//! | the same | memory of each stream that nobody reads | 92 KiB | 77 KiB: pieces do not save memory |
//! | `waiting` | 8,193 calls without a message (`deadline`) | the last is refused | all wait |
//! | `workers` | p99 of another caller, "gzip bombs", twice | 12 and 150 ms | 13 and 65 ms with one thread: no difference |
//!
//! So `workers` carry no row. They are needed for the processor time of each call, as their header says, and stand here because
//! `turns` are those of a thread.
//!
//! To measure without `unpack`, hand `routes` the request as it is: tonic unpacks it in one go. Without `intake`: let its `take`
//! return all bytes as they come.
//!
//! Limits that every call or connection meets are elsewhere: the places of calls (`limit`; "held streams"), the bounds on
//! connections and on how many begin at a time (`accept`; "1 GiB length prefix" and "idle connections"), streams per connection
//! and the size of headers (`connection`; "rapid reset" and "oversized headers"), the time for the handshake (`tls`), file
//! descriptors (`descriptors`), the number and length of a call's messages (`framing`), and the admin port's own (`admin::port`).
//! Memory that is no request message is charged where it is taken: metadata and sessions of reflection (`identity::metadata`),
//! handshakes (`tls::handshake`), replies (`rpc`), pages of streams (`gateway::stream::pages`), watched jobs (`gateway::jobs`),
//! and Zendesk's answers (`upstream::transport::body`).

pub(super) mod activity;
pub(super) mod frames;
pub(super) mod intake;
mod late;
pub(super) mod open;
pub(super) mod socket;
pub(super) mod stall;
pub mod unpack;
pub(super) mod waiting;
pub mod workers;
