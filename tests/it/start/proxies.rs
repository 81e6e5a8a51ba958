//! Proxies that the environment names.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use zendesk_gateway::sandbox;

use crate::support::account;
use crate::support::binary::Binary;

/// A proxy that makes tunnels and forwards requests, and keeps what clients send it.
struct Proxy {
    url: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&kept)));
            }
        });
        Self { url, seen }
    }

    /// All bytes that clients have sent.
    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("no panic inside")).into_owned()
    }
}

async fn serve(mut client: TcpStream, seen: Arc<Mutex<Vec<u8>>>) -> std::io::Result<()> {
    let keep = |bytes: &[u8]| seen.lock().expect("no panic inside").extend_from_slice(bytes);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    keep(&head);
    let text = String::from_utf8_lossy(&head).into_owned();
    let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let tunnels = text.starts_with("CONNECT ");
    let address = target.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    let mut server = TcpStream::connect(address).await?;
    if tunnels {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    } else {
        server.write_all(&head).await?;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = async {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            keep(&bytes[..read]);
            to_server.write_all(&bytes[..read]).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let _ended = tokio::join!(there, tokio::io::copy(&mut from_server, &mut to_client));
    Ok(())
}

/// Starts the binary with every variable that names a proxy, in an environment that exempts nothing.
async fn behind(proxy: &Proxy, settings: &[(&str, &str)]) -> Binary {
    let change = |command: &mut tokio::process::Command| {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env(name, &proxy.url);
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    };
    Binary::changed(change, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_goes_through_a_proxy_in_clear() {
    let proxy = Proxy::start().await;
    let gateway = behind(&proxy, &[]).await;
    assert!(!gateway.ids().await.is_empty());
    assert_eq!(proxy.seen(), "", "what is not encrypted is sent to this machine, and past the proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_makes_a_tunnel_and_sees_nothing_of_what_goes_through_it() {
    let (proxy, folder) = (Proxy::start().await, TempDir::new().expect("a folder"));
    let ca = folder.path().join("ca.pem");
    let ca = ca.to_str().expect("UTF-8");
    let tls = [("SANDBOX__WIRE__TLS", "true"), ("SANDBOX__WIRE__CA_FILE", ca), ("UPSTREAM__CA_FILE", ca)];
    let gateway = behind(&proxy, &tls).await;
    assert!(!gateway.ids().await.is_empty());
    let seen = proxy.seen();
    assert!(seen.starts_with("CONNECT 127.0.0.1:"), "{seen:?}");
    let token = sandbox::Config::clone(&account()).credential.api_token;
    for secret in ["authorization", "Basic ", token.as_str(), "/api/v2"] {
        assert!(!seen.to_ascii_lowercase().contains(&secret.to_ascii_lowercase()), "{secret}");
    }
}
