//! An upstream that gives one fixed answer, byte for byte, to every request.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

/// Serves `answer` until it is dropped with its runtime.
pub struct Scripted {
    pub url: Url,
}

impl Scripted {
    /// Answers with a status line, headers and a body whose length is added.
    pub async fn start(head: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend(body);
        Self::raw(answer).await
    }

    /// Answers with these very bytes and closes the connection.
    pub async fn raw(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                        if connection.read_buf(&mut request).await.unwrap_or_default() == 0 {
                            return;
                        }
                    }
                    connection.write_all(&answer).await.ok();
                    connection.shutdown().await.ok();
                });
            }
        });
        Self { url }
    }
}
