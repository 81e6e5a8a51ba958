//! A small HTTP/1.1 server over loopback, by hand, so that it can be late, break off or say too much at any byte.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::clock::now;
use super::http2;

/// Connections that the system keeps for a server that does not accept them; the next ones hang in their handshake. More than a
/// gateway opens at a time, so that none hangs by chance: a client whose last packet of the handshake is dropped believes to be
/// connected, and what it sends is read late although it left in time.
const BACKLOG: u32 = 256;

/// A request that arrived.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Vec<u8>,
    /// When it was read.
    pub at: u64,
    /// Whether it may have lain in the system's queue before it was read, because nobody accepted its connection.
    pub lay: bool,
}

impl Request {
    /// The verb and the path after `/api/v2`, as `GET /users/7`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path.trim_start_matches("/api/v2"))
    }
}

/// What a request is answered.
#[derive(Debug)]
pub enum Reply {
    /// A whole response.
    Whole(Response),
    /// A response and, in the same packet, one more that nobody asked for.
    WithOneMore(Response, Response),
    /// A response and, a moment later, one more that nobody asked for.
    WithOneMoreLate(Response, Response),
    /// The head and half of the body; then the connection is closed.
    Cut(Response),
    /// Nothing; the connection is closed.
    Closed,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub body: String,
    /// Further header lines, each with its line break.
    pub headers: &'static str,
}

impl Response {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), headers: "" }
    }

    /// The headers, without the body's length. The budget is one that nobody can use up; while none is known the gateway lets
    /// only ten requests out at a time.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let further = self.headers.lines().filter_map(|line| line.split_once(": "));
        let budget = [
            ("content-type", "application/json"),
            ("ratelimit-limit", "100000000"),
            ("ratelimit-remaining", "99999999"),
            ("ratelimit-reset", "60"),
        ];
        budget.into_iter().chain(further)
    }

    fn head(&self) -> String {
        let headers = self.headers().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect::<String>();
        format!("HTTP/1.1 {} X\r\n{headers}content-length: {}\r\n\r\n", self.status, self.body.len())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head().into_bytes();
        bytes.extend(self.body.as_bytes());
        bytes
    }
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1 without TLS.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
}

/// The server; it ends with its runtime.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    /// The certificate, where TLS and HTTP/2 are spoken.
    certificate: Option<Arc<str>>,
    door: Arc<Door>,
}

/// Whether connections are accepted.
#[derive(Default)]
struct Door {
    closed: AtomicBool,
    opened: Notify,
    changed: Notify,
    /// Says that nobody accepts any more.
    asleep: Notify,
    /// Connections of our own that fill the system's queue.
    fillers: Mutex<HashSet<SocketAddr>>,
    /// Counts how often everybody was to hang up.
    hung_up: watch::Sender<u32>,
}

impl Server {
    /// Answers every request with what `answer` makes of it.
    pub fn start<F, A>(wire: Wire, answer: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Reply> + Send + 'static,
    {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(BACKLOG).expect("it listens");
        let (tls, certificate) = match wire {
            Wire::Http1 => (None, None),
            Wire::Http2 => {
                let (acceptor, certificate) = http2::acceptor();
                (Some(acceptor), Some(certificate.into()))
            }
        };
        let address = listener.local_addr().expect("it is bound");
        let server = Self { address, certificate, door: Arc::default() };
        tokio::spawn(accept(listener, tls, Arc::clone(&server.door), answer));
        server
    }

    pub fn url(&self) -> Url {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address).parse().expect("a URL")
    }

    /// Returns the certificate to trust, where TLS and HTTP/2 are spoken.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Lets every new connection hang in its handshake until what is returned is dropped.
    ///
    /// The system completes handshakes by itself until its queue of connections that wait to be accepted is full. So nobody
    /// accepts, and the queue is filled from here: whoever connects then gets no answer to the first packet, and sends it again
    /// after one second and after three. The requests of connections that were in the queue before are marked as having lain
    /// there.
    pub async fn shut(&self) -> Shut {
        self.door.closed.store(true, Ordering::SeqCst);
        self.door.changed.notify_one();
        self.door.asleep.notified().await;
        let mut fillers = Vec::new();
        while fillers.len() <= 2 * BACKLOG as usize {
            let Ok(Ok(filler)) = timeout(Duration::from_millis(30), TcpStream::connect(self.address)).await else {
                break;
            };
            let own = filler.local_addr().expect("it is connected");
            self.door.fillers.lock().expect("no panic").insert(own);
            fillers.push(filler);
        }
        Shut { door: Arc::clone(&self.door), _fillers: fillers }
    }
}

impl Server {
    /// Closes every connection that has no request under way, so that new ones are needed.
    pub fn hang_up(&self) {
        self.door.hung_up.send_modify(|times| *times += 1);
    }
}

/// A server that accepts nobody, for as long as this is there.
pub struct Shut {
    door: Arc<Door>,
    _fillers: Vec<TcpStream>,
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.door.closed.store(false, Ordering::SeqCst);
        self.door.opened.notify_one();
    }
}

async fn accept<F, A>(listener: TcpListener, tls: Option<TlsAcceptor>, door: Arc<Door>, answer: F)
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    loop {
        if door.closed.load(Ordering::SeqCst) {
            door.asleep.notify_one();
            door.opened.notified().await;
            continue;
        }
        let (socket, peer) = tokio::select! {
            biased;
            () = door.changed.notified() => continue,
            accepted = listener.accept() => accepted.expect("it listens"),
        };
        // The queue keeps its order: what comes before the last filler was in it before it was full.
        let lay = {
            let mut fillers = door.fillers.lock().expect("no panic");
            if fillers.remove(&peer) {
                continue;
            }
            !fillers.is_empty()
        };
        socket.set_nodelay(true).expect("a socket");
        let (hung_up, answer) = (door.hung_up.subscribe(), answer.clone());
        match tls.clone() {
            Some(tls) => drop(tokio::spawn(http2::serve(socket, tls, lay, hung_up, answer))),
            None => drop(tokio::spawn(serve(socket, lay, hung_up, answer))),
        }
    }
}

async fn serve<F, A>(
    mut socket: TcpStream,
    mut lay: bool,
    mut hung_up: watch::Receiver<u32>,
    answer: F,
) -> std::io::Result<()>
where
    F: Fn(Request) -> A + Send + Sync + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    let mut buffer = Vec::with_capacity(1024);
    loop {
        let read = tokio::select! {
            biased;
            request = read(&mut socket, &mut buffer) => request?,
            _ = hung_up.changed() => None,
        };
        let Some(mut request) = read else { return Ok(()) };
        request.lay = std::mem::take(&mut lay);
        match answer(request).await {
            Reply::Whole(response) => socket.write_all(&response.bytes()).await?,
            Reply::WithOneMore(response, more) => {
                let mut bytes = response.bytes();
                bytes.extend(more.bytes());
                socket.write_all(&bytes).await?;
            }
            Reply::WithOneMoreLate(response, more) => {
                socket.write_all(&response.bytes()).await?;
                // By then the next request is on its way.
                tokio::time::sleep(Duration::from_millis(40)).await;
                socket.write_all(&more.bytes()).await?;
            }
            Reply::Cut(response) => {
                let bytes = response.bytes();
                let cut = response.head().len() + response.body.len() / 2;
                socket.write_all(&bytes[..cut]).await?;
                return Ok(());
            }
            Reply::Closed => return Ok(()),
        }
    }
}

/// Reads one request; none when the peer has closed the connection.
async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let at = now();
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
    let end = head + 4 + length;
    while buffer.len() < end {
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = buffer[head + 4..end].to_vec();
    buffer.drain(..end);
    let query = percent_encoding::percent_decode_str(query).decode_utf8_lossy().into_owned();
    Ok(Some(Request { method, path: path.to_owned(), query, body, at, lay: false }))
}
