//! An upstream that gives fixed answers, byte for byte.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

/// Serves its answers until it is dropped with its runtime.
pub struct Scripted {
    pub url: Url,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Answers with a status line, headers and a body whose length is added.
    pub async fn start(head: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::raw(answer(head, &body.into())).await
    }

    /// Answers with these very bytes and closes the connection.
    pub async fn raw(answer: Vec<u8>) -> Self {
        Self::by(move |_| answer.clone()).await
    }

    /// Answers the requests in turn with 200 and these bodies, and those that follow with the last one.
    pub async fn in_turn(bodies: &[&str]) -> Self {
        let head = "200 OK\r\ncontent-type: application/json";
        let answers: Vec<Vec<u8>> = bodies.iter().map(|body| answer(head, body.as_bytes())).collect();
        let next = Mutex::new(0);
        Self::by(move |_| {
            let mut next = next.lock().expect("no panic");
            let answer = answers[answers.len().min(*next + 1) - 1].clone();
            *next += 1;
            answer
        })
        .await
    }

    /// Answers with these very bytes, and then neither sends anything nor closes the connection.
    pub async fn hanging(answer: Vec<u8>) -> Self {
        Self::serve(move |_| answer.clone(), false).await
    }

    /// Answers each request, given by its head, as told, and closes the connection.
    pub async fn by(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serve(answer, true).await
    }

    async fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static, closes: bool) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (log, answer) = (asked.clone(), Arc::new(answer));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), log.clone());
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                        if connection.read_buf(&mut request).await.unwrap_or_default() == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8_lossy(&request).into_owned();
                    log.lock().expect("no panic").push(head.lines().next().unwrap_or_default().to_owned());
                    connection.write_all(&answer(&head)).await.ok();
                    if closes {
                        connection.shutdown().await.ok();
                    } else {
                        connection.read_to_end(&mut request).await.ok();
                    }
                });
            }
        });
        Self { url, asked }
    }

    /// The request lines that came, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// An answer with its length.
pub fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}
