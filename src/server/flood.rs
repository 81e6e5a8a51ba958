//! Protects the gateway against peers who flood it with bytes, calls or connections, or who do not read.
//!
//! None of this is needed to answer a call. It is kept apart from the code that answers calls, so that a change there needs no
//! knowledge of this, and a change here shows what it is for. "Row" means a row of the table "Under attack" in
//! `docs/security.md`; each row is a test in `tests/it/attacks.rs`. All figures were found with such attacks.
//!
//! | file | what it does | against | rows and further tests | how to do without it, to measure |
//! |---|---|---|---|---|
//! | `turns` | does long work in short pieces, in order; all short work comes before the next piece | many peers who each keep a thread busy for their share | rapid reset, CONTINUATION flood, 1-byte DATA, PING flood, SETTINGS flood, oversized headers; its own tests | `TURN` of an hour: nothing counts as long |
//! | `socket` | reads a connection in turns; closes it if the peer does not begin, or does not take what is sent | floods of frames; connections that never speak HTTP/2; PINGs whose answers nobody reads | empty DATA and the rows of `turns`, PING flood whose answers nobody reads, idle connections; `server`, `room` | a portion of `usize::MAX`; `server.preface_timeout` and `server.send_timeout` of hours |
//! | `stall` | hands a reply on in small pieces; ends a call whose peer stops reading | peers who ask for large replies and read nothing, which holds memory | streams that nobody reads (below the table); `server`, `room` | `PIECE` of `usize::MAX`; `server.send_timeout` of hours |
//! | `waiting` | bounds how many calls wait for their messages, and for how long | calls whose message never comes | held streams; tests of `deadline` | `MOST` of a million; `server.message_timeout` of hours |
//! | `unpack` | unpacks compressed requests piece by piece, in turns, up to the limit | messages that grow when unpacked | gzip bombs; its own tests | hand `routes` the request as it is: tonic unpacks it in one go |
//! | `intake` | charges a message's bytes to its caller as they come, and its size in memory before it is decoded | messages that never end, and small ones that decode to much | memory of messages; its own tests | `SMALL` of `usize::MAX`: nothing is charged |
//! | `open` | finds the connection that was silent or idle longest, to make room; counts those of one peer | crowds of idle connections that keep others out | idle connections, crowds at the gRPC port; `room` | `IDLE` and `SILENT` of an hour: no connection makes room |
//! | `activity` | notes whether a connection has calls, and asks it to close | serves `open` | `room` | nothing of its own |
//! | `workers` | serves connections on threads of their own, each on the thread with the fewest | a connection that keeps its thread busy: it holds up only those on the same thread; calls are cheaper, too | all rows; `workers` | `server.workers = 1`, or `Workers::here` |
//!
//! Limits that every call or connection meets are elsewhere: the places of calls (`limit`; held streams), the bounds on
//! connections and on how many begin at a time (`accept`; 1 GiB length prefix and idle connections), streams per connection and
//! the size of headers (`connection`; rapid reset and oversized headers), the time for the handshake (`tls`), file descriptors
//! (`descriptors`), the number and length of a call's messages (`framing`), and the admin port's own (`admin::port`).

pub(super) mod activity;
pub(super) mod intake;
pub(super) mod open;
pub(super) mod socket;
pub(super) mod stall;
pub(super) mod turns;
pub mod unpack;
pub(super) mod waiting;
pub mod workers;
