//! The streams of one connection, and how it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use h2::Reason;
use http::{HeaderMap, HeaderName};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::registry::Connections;
use super::super::socket::Socket;
use super::parser::{self, FrameHeader};
use super::stream::{End, Stream};
use crate::config::{GoAway, Wire};

/// The header that carries a request's stream id, which hyper does not expose. It is added on the way in and removed before a
/// handler sees the request.
const TAG: HeaderName = HeaderName::from_static("x-sandbox-stream");

/// The streams of one connection.
pub struct Streams {
    socket: Socket,
    connections: Connections,
    goaway_every: Option<u32>,
    goaway: GoAway,
    polite: Notify,
    table: Mutex<Table>,
}

struct Table {
    open: HashMap<u32, Arc<Stream>>,
    highest: u32,
    requests: u32,
    /// The last stream that is processed, once an abrupt GOAWAY has named it.
    last: Option<u32>,
    /// Whether a GOAWAY was sent.
    told: bool,
    /// Frames to be sent beside hyper's.
    to_send: Vec<u8>,
    /// Since when no stream is open.
    quiet_since: Instant,
    /// The connection's task, which must see that the last stream is done.
    waiting: Option<Waker>,
}

/// What becomes of a frame from the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// hyper sees it.
    Pass,
    /// hyper sees it, and it opens a stream.
    Open,
    /// hyper does not see it: its stream is above the last one.
    Swallow,
}

impl Streams {
    pub fn new(socket: Socket, connections: Connections, wire: &Wire) -> Self {
        let table = Table {
            open: HashMap::new(),
            highest: 0,
            requests: 0,
            last: None,
            told: false,
            to_send: Vec::new(),
            quiet_since: Instant::now(),
            waiting: None,
        };
        Self {
            socket,
            connections,
            goaway_every: wire.goaway_every,
            goaway: wire.goaway,
            polite: Notify::new(),
            table: Mutex::new(table),
        }
    }

    /// Ends the connection with a GOAWAY.
    pub fn go_away(&self, kind: GoAway) {
        match kind {
            GoAway::Abrupt => self.name_last(&mut self.table()),
            GoAway::Polite => self.polite.notify_one(),
        }
    }

    /// Whether a GOAWAY was sent.
    pub fn told_to_go(&self) -> bool {
        self.table().told
    }

    /// Resolves when the connection is to end politely.
    pub async fn told_politely(&self) {
        self.polite.notified().await;
    }

    /// Returns for how long no stream was open.
    pub fn quiet_for(&self) -> Duration {
        let table = self.table();
        if table.open.is_empty() { table.quiet_since.elapsed() } else { Duration::ZERO }
    }

    /// Finds the stream of a request.
    pub fn claim(&self, headers: &mut HeaderMap) -> Arc<Stream> {
        // The last one is the one that was added; a client may have sent the name, too.
        let tag = headers.get_all(TAG).iter().next_back().and_then(|tag| tag.to_str().ok()?.parse().ok());
        headers.remove(TAG);
        let found = tag.and_then(|id: u32| self.table().open.get(&id).cloned());
        found.unwrap_or_else(|| {
            // The client has reset this stream by now.
            let stream = Stream::new(self.socket.clone());
            stream.end(End::Broken);
            stream
        })
    }

    /// Decides about a frame from the client.
    pub(super) fn arrives(&self, head: FrameHeader) -> Verdict {
        let mut table = self.table();
        if head.stream_id != 0 && table.last.is_some_and(|last| head.stream_id > last) {
            return Verdict::Swallow;
        }
        if head.kind != parser::HEADERS || head.stream_id <= table.highest {
            return Verdict::Pass;
        }
        table.highest = head.stream_id;
        table.requests += 1;
        table.open.insert(head.stream_id, Stream::new(self.socket.clone()));
        if self.goaway_every.is_some_and(|every| table.requests == every) {
            match self.goaway {
                GoAway::Abrupt => self.name_last(&mut table),
                GoAway::Polite => self.polite.notify_one(),
            }
        }
        Verdict::Open
    }

    /// Gives back the room in the connection's window that a swallowed frame took, which other streams may need.
    pub(super) fn swallowed(&self, head: FrameHeader) {
        if head.kind == parser::DATA && head.length > 0 {
            let update = parser::encode_frame(parser::WINDOW_UPDATE, 0, 0, &head.length.to_be_bytes());
            self.table().to_send.extend(update);
        }
    }

    fn name_last(&self, table: &mut Table) {
        if table.last.is_some() {
            return;
        }
        let last = table.highest;
        table.last = Some(last);
        let payload = [last.to_be_bytes(), u32::from(Reason::NO_ERROR).to_be_bytes()].concat();
        table.to_send.extend(parser::encode_frame(parser::GOAWAY, 0, 0, &payload));
        self.count_goaway(table);
        table.wake();
    }

    fn count_goaway(&self, table: &mut Table) {
        if !std::mem::replace(&mut table.told, true) {
            self.connections.count_goaway();
        }
    }

    pub(super) fn sent_goaway(&self) {
        self.count_goaway(&mut self.table());
    }

    pub(super) fn take_to_send(&self) -> Vec<u8> {
        std::mem::take(&mut self.table().to_send)
    }

    pub(super) fn has_to_send(&self) -> bool {
        !self.table().to_send.is_empty()
    }

    /// Whether all streams that an abrupt GOAWAY left are done. If not, `cx` is woken when they are, or when there is a frame to send.
    pub(super) fn are_over(&self, cx: &mut Context<'_>) -> bool {
        let mut table = self.table();
        table.waiting = Some(cx.waker().clone());
        table.last.is_some() && table.open.is_empty() && table.to_send.is_empty()
    }

    pub(super) fn wrote_head(&self, id: u32) {
        if let Some(stream) = self.find(id) {
            stream.wrote_head();
        }
    }

    pub(super) fn wrote_body(&self, id: u32, bytes: usize) {
        if let Some(stream) = self.find(id) {
            stream.wrote_body(bytes);
        }
    }

    /// Notes that this side has reset a stream.
    pub(super) fn wrote_reset(&self, id: u32, code: u32) {
        if code == u32::from(Reason::REFUSED_STREAM) {
            self.connections.count_refused_stream();
        }
        self.end(id, End::Broken);
    }

    pub(super) fn end(&self, id: u32, end: End) {
        let mut table = self.table();
        let stream = table.open.remove(&id);
        if stream.is_some() && table.open.is_empty() {
            table.quiet_since = Instant::now();
            if table.last.is_some() {
                table.wake();
            }
        }
        drop(table);
        if let Some(stream) = stream {
            stream.end(end);
        }
    }

    /// Notes that the connection has ended, and with it every stream.
    pub(super) fn close(&self) {
        let open = std::mem::take(&mut self.table().open);
        for stream in open.values() {
            stream.end(End::Broken);
        }
    }

    fn find(&self, id: u32) -> Option<Arc<Stream>> {
        self.table().open.get(&id).cloned()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// Returns a frame that ends the header block of `stream` with its tag.
///
/// HPACK's "literal header field without indexing" changes no table, so it can be added to a block without following the tables
/// (RFC 7541, section 6.2.2).
pub(super) fn tag(stream: u32) -> Vec<u8> {
    let value = stream.to_string();
    let mut block = vec![0];
    for text in [TAG.as_str(), &value] {
        block.push(u8::try_from(text.len()).expect("both are short"));
        block.extend_from_slice(text.as_bytes());
    }
    parser::encode_frame(parser::CONTINUATION, parser::END_HEADERS, stream, &block)
}
