//! What proves who calls: tokens, the keys of their issuer, certificates.

use std::sync::LazyLock;

use http::HeaderValue;
use jsonwebtoken::Algorithm;
use serde_json::Value;
use zendesk_gateway::config::identity::Jwt;
use zendesk_gateway::server::identity::{KeySet, certificate_name, token_name};

/// The key that signed the first two examples of tokens.
const KEYS: &[u8] = br#"{"keys":[{"kty":"EC","crv":"P-256","x":"bl202osVxL42ddA598cbnSBQ7U_WICuA7wTpJjp1tK0","y":"WnWhUgfCtf38CvIO2vevG0jlJbxVpPeo6fvcQ8koRIQ","kid":"a"}]}"#;

/// A token for `fuzz` that ends in 2100; one that has ended; one without a signature; one that takes the key for a secret.
pub const TOKENS: &[&[u8]] = &[
    b"Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLyIsImF1ZCI6InplbmRlc2stZ2F0ZXdheSIsInN1YiI6ImZ1enoiLCJleHAiOjQxMDI0NDQ4MDB9.CQVeNTru7jvRQWVZnRYDIY3D32x8lomG1EBG-ThwE9UAl6usUGG79HitqlXotOE9yMY9A_Mc-78Kot25WlWy1A",
    b"bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLyIsImF1ZCI6InplbmRlc2stZ2F0ZXdheSIsInN1YiI6ImZ1enoiLCJleHAiOjF9.zg7zEEJ-Kgcqv8s7af5nSt_fKGCD7k-LR7YVVExUzEM6Yf1PYhE3PMb1FIWezgRh1pLRFy6-KPqWSU_tEBMp1A",
    b"Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLyIsImF1ZCI6InplbmRlc2stZ2F0ZXdheSIsInN1YiI6ImZ1enoiLCJleHAiOjQxMDI0NDQ4MDB9.",
    b"Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLyIsImF1ZCI6InplbmRlc2stZ2F0ZXdheSIsInN1YiI6ImZ1enoiLCJleHAiOjQxMDI0NDQ4MDB9.AAAA",
    b"Bearer e30.e30.", b"Bearer ..", b"Bearer a.b", b"Basic YTpi", b"Bearer \xff",
];

/// Sets of keys, the last two with keys that are of no use.
pub const KEY_SETS: &[&[u8]] = &[
    KEYS,
    br#"{"keys":[{"kty":"RSA","n":"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1Wl","e":"AQAB","kid":"r","alg":"RS256","use":"sig","key_ops":["verify"]},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"o"}]}"#,
    br#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a","alg":"HS256"},{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},7]}"#, br#"{"keys":[]}"#,
];

/// Certificates that name a caller by their subject and by a SPIFFE id.
pub const CERTIFICATES: &[&[u8]] = &[include_bytes!("subject.der"), include_bytes!("spiffe.der"), b"", b"\x30\x80"];

static KNOWN: LazyLock<KeySet> = LazyLock::new(|| {
    let issuer = Some("https://issuer.example/".to_owned());
    let settings = Jwt { issuer, audience: Some("zendesk-gateway".to_owned()), ..Jwt::default() };
    KeySet::read(KEYS, &settings).expect("a key")
});

/// `authorization`: whoever is named, the issuer has named.
pub fn token(data: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(data) else { return };
    if let Ok((name, ends)) = token_name(&header, &KNOWN) {
        assert_eq!((name.as_str(), ends), ("jwt:fuzz", 4_102_444_800));
    }
}

/// What an issuer publishes: no key is good for an algorithm that the settings do not allow.
pub fn key_set(data: &[u8]) {
    let Ok(keys) = KeySet::read(data, &Jwt::default()) else { return };
    let document: Value = serde_json::from_slice(data).expect("it was read");
    let names = document["keys"].as_array().expect("a list").iter().map(|key| key["kid"].as_str());
    for key in names.chain([None]).filter_map(|name| keys.find(name)) {
        let allowed = [Algorithm::RS256, Algorithm::ES256];
        let algorithms = &key.validation.algorithms;
        assert!(!algorithms.is_empty() && algorithms.iter().all(|algorithm| allowed.contains(algorithm)));
    }
}

/// Client certificates: a name can be compared with patterns and written into a line.
pub fn certificate(data: &[u8]) {
    let Ok(name) = certificate_name(data) else { return };
    let rest = name.strip_prefix("certificate:").or_else(|| name.strip_prefix("spiffe://")).expect("one of both kinds");
    assert!(name.len() <= 2048 && !rest.contains(|char: char| char == '*' || char.is_control()), "{name:?}");
}
