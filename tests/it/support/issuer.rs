//! An issuer of tokens: its keys, what it publishes, and what it signs.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

pub const ISSUER: &str = "https://issuer.example/";
pub const AUDIENCE: &str = "zendesk-gateway";

/// One key pair.
#[derive(Clone)]
pub struct Key {
    pub kid: String,
    pub algorithm: Algorithm,
    private: EncodingKey,
}

impl Key {
    /// A key on the curve P-256, for ES256.
    pub fn ec(kid: &str) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let key = EncodingKey::from_ec_der(&key.serialize_der());
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES256, private: key }
    }

    /// An RSA key, for RS256.
    pub fn rsa(kid: &str) -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("it can be written");
        // The library wants the inner PKCS #1, which begins after a head of fixed length.
        let key = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
        Self { kid: kid.to_owned(), algorithm: Algorithm::RS256, private: key }
    }

    /// The same key under another name.
    pub fn named(&self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self.clone() }
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.kid.clone());
        jwk.common.key_algorithm = None;
        serde_json::to_value(jwk).expect("a JWK is JSON")
    }

    /// A token with these claims, signed as its kind wants it.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(self.algorithm, claims)
    }

    pub fn sign_as(&self, algorithm: Algorithm, claims: &Value) -> String {
        self.sign_under(&Header { kid: Some(self.kid.clone()), ..Header::new(algorithm) }, claims)
    }

    /// A token that demands to be understood in a way that nobody knows.
    pub fn sign_critical(&self, claims: &Value) -> String {
        let (kid, crit) = (Some(self.kid.clone()), Some(vec!["unheard-of".to_owned()]));
        self.sign_under(&Header { kid, crit, ..Header::new(self.algorithm) }, claims)
    }

    /// A token of this type; without one where there is none.
    pub fn sign_typed(&self, typ: Option<&str>, claims: &Value) -> String {
        let (kid, typ) = (Some(self.kid.clone()), typ.map(str::to_owned));
        self.sign_under(&Header { kid, typ, ..Header::new(self.algorithm) }, claims)
    }

    /// A token without a type whose header has this parameter.
    pub fn sign_with(&self, parameter: &str, value: Value, claims: &Value) -> String {
        let kid = (parameter != "kid").then(|| self.kid.clone());
        let mut header = Header { kid, typ: None, ..Header::new(self.algorithm) };
        header.extras.insert(parameter, value);
        self.sign_under(&header, claims)
    }

    fn sign_under(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.private).expect("it can be signed")
    }

    /// A token that is signed with HMAC, with a text that everybody knows as its secret.
    pub fn confuse(&self, secret: &[u8], claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).expect("it can be signed")
    }

    /// A token that says it needs no signature.
    pub fn unsigned(&self, none: &str, claims: &Value) -> String {
        let header = json!({ "alg": none, "typ": "JWT", "kid": self.kid });
        format!("{}.{}.", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
    }
}

/// What a sound token of a caller says.
pub fn claims(subject: &str) -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": now() + 600, "nbf": now() - 60 })
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The document that an issuer publishes.
pub fn jwks(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// An issuer's endpoint.
#[derive(Clone)]
pub struct Endpoint {
    pub url: Url,
    pub document: Arc<Mutex<String>>,
    /// What it answers with.
    pub status: Arc<AtomicU16>,
    /// Whether its connection breaks in the middle of the document.
    pub breaks: Arc<AtomicBool>,
    /// How long it takes to answer, in milliseconds.
    pub delay_ms: Arc<AtomicU64>,
    /// How often it was asked.
    pub asked: Arc<AtomicU32>,
}

impl Endpoint {
    pub async fn start(document: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/jwks", listener.local_addr().expect("it is bound")).parse().expect("a URL");
        let status = Arc::new(AtomicU16::new(200));
        let document = Arc::new(Mutex::new(document));
        let (breaks, delay_ms, asked) = (Arc::default(), Arc::default(), Arc::default());
        let endpoint = Self { url, document, status, breaks, delay_ms, asked };
        let its = endpoint.clone();
        let answer = move || async move {
            its.asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(its.delay_ms.load(Ordering::SeqCst))).await;
            let status = StatusCode::from_u16(its.status.load(Ordering::SeqCst)).expect("a status");
            let document = its.document.lock().expect("no test panics inside").clone();
            let whole = if its.breaks.load(Ordering::SeqCst) { document.len() / 2 } else { document.len() };
            let rest = (whole < document.len()).then(|| Err(std::io::Error::other("broken on purpose")));
            let parts = std::iter::once(Ok(document[..whole].to_owned())).chain(rest);
            (status, Body::from_stream(futures_util::stream::iter(parts)))
        };
        let routes = axum::Router::new().route("/jwks", get(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        endpoint
    }

    /// Publishes another document.
    pub fn publish(&self, document: &str) {
        document.clone_into(&mut self.document.lock().expect("no test panics inside"));
    }

    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}
