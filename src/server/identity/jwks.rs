//! The public keys of an issuer, and which algorithm each may be used with.
//!
//! The algorithm in a token's header does not decide which one is used: a key is valid only for the algorithms of its own kind
//! that the settings allow. So a public key can never be taken for a shared secret.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use crate::config;
use crate::config::identity::Algorithm as Allowed;

/// The keys of one document.
pub struct KeySet {
    /// Unique number of this set.
    pub number: u64,
    named: HashMap<String, Key>,
    /// The key of a document with only one; a token need not name it.
    only: Option<Key>,
}

/// A key, and the checks of a token that was signed with it.
#[derive(Clone)]
pub struct Key {
    /// The key.
    pub key: DecodingKey,
    /// Algorithm, issuer, audience, times.
    pub validation: Validation,
}

/// A key of a document, with what tells it from another.
struct Usable {
    name: Option<String>,
    parameters: AlgorithmParameters,
    key: Key,
}

impl Usable {
    fn is_same(&self, other: &Self) -> bool {
        let algorithms = |usable: &Self| usable.key.validation.algorithms.clone();
        self.name == other.name && self.parameters == other.parameters && algorithms(self) == algorithms(other)
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl KeySet {
    /// Reads a JWKS (RFC 7517). Keys of unknown or forbidden kinds are left out, as the RFC requires, and so are keys that
    /// cannot be read. Of two different keys with one `kid` neither is used: which of them a token means is not known, and one
    /// of the two may be there by mistake. The other keys of the document serve.
    ///
    /// # Errors
    /// A document that is no JWKS, or has no usable key.
    pub fn read(content: &[u8], settings: &config::identity::Jwt) -> anyhow::Result<Self> {
        let document: Document = serde_json::from_slice(content).map_err(|_| anyhow::anyhow!("is not a JWKS"))?;
        let mut unreadable = 0_usize;
        let mut keys: Vec<Usable> = Vec::new();
        for jwk in document.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(jwk) else { continue };
            let algorithms = algorithms(&jwk, &settings.algorithms);
            if algorithms.is_empty() {
                continue;
            }
            let Ok(key) = DecodingKey::from_jwk(&jwk) else {
                unreadable += 1;
                continue;
            };
            let key = Key { key, validation: validation(algorithms, settings) };
            let usable = Usable { name: jwk.common.key_id, parameters: jwk.algorithm, key };
            // The same key twice is one key.
            if !keys.iter().any(|other| other.is_same(&usable)) {
                keys.push(usable);
            }
        }
        let readable = keys.len();
        let names: Vec<_> = keys.iter().map(|key| key.name.clone()).collect();
        keys.retain(|key| key.name.is_none() || names.iter().filter(|name| **name == key.name).count() == 1);
        let doubled = readable - keys.len();
        if unreadable + doubled > 0 {
            warn!(
                keys.unreadable = unreadable,
                keys.doubled = doubled,
                "keys of a JWKS are left out: they cannot be read, or share one kid"
            );
        }
        ensure!(!keys.is_empty(), "holds no key for any of identity.jwt.algorithms");
        let only = if let [only] = keys.as_slice() { Some(only.key.clone()) } else { None };
        let named = keys.into_iter().filter_map(|usable| Some((usable.name?, usable.key))).collect();
        Ok(Self { number: NUMBER.fetch_add(1, Ordering::Relaxed), named, only })
    }

    /// Returns the key that a token names, or the only key for a token that names none.
    pub fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match kid {
            Some(kid) => self.named.get(kid),
            None => self.only.as_ref(),
        }
    }
}

fn validation(algorithms: Vec<Algorithm>, settings: &config::identity::Jwt) -> Validation {
    let mut validation = Validation::new(algorithms[0]);
    validation.algorithms = algorithms;
    validation.leeway = settings.leeway.as_secs();
    validation.validate_nbf = true;
    validation.set_issuer(settings.issuer.as_slice());
    validation.set_audience(settings.audience.as_slice());
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

/// Returns the algorithms that a key may be used with: allowed, of the key's kind, and equal to its `alg` if it has one.
fn algorithms(jwk: &Jwk, allowed: &[Allowed]) -> Vec<Algorithm> {
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !signs {
        return Vec::new();
    }
    let own_kind: &[Allowed] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            &[Allowed::RS256, Allowed::RS384, Allowed::RS512, Allowed::PS256, Allowed::PS384, Allowed::PS512]
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Allowed::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Allowed::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Allowed::EdDSA],
        _ => &[],
    };
    let its_own = |algorithm: &&Allowed| {
        common.key_algorithm.as_ref().is_none_or(|own| own.to_string() == format!("{algorithm:?}"))
    };
    own_kind.iter().filter(|algorithm| allowed.contains(algorithm)).filter(its_own).map(|one| library(*one)).collect()
}

fn library(algorithm: Allowed) -> Algorithm {
    match algorithm {
        Allowed::RS256 => Algorithm::RS256,
        Allowed::RS384 => Algorithm::RS384,
        Allowed::RS512 => Algorithm::RS512,
        Allowed::PS256 => Algorithm::PS256,
        Allowed::PS384 => Algorithm::PS384,
        Allowed::PS512 => Algorithm::PS512,
        Allowed::ES256 => Algorithm::ES256,
        Allowed::ES384 => Algorithm::ES384,
        Allowed::EdDSA => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POINT: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";

    fn ec(kid: &str) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "x": POINT, "y": POINT, "kid": kid })
    }

    fn read(document: &Value) -> anyhow::Result<KeySet> {
        KeySet::read(document.to_string().as_bytes(), &config::identity::Jwt::default())
    }

    #[test]
    fn a_key_is_good_for_the_algorithms_of_its_own_kind_only() {
        let rsa = json!({ "kty": "RSA", "n": POINT, "e": "AQAB", "kid": "r" });
        let mut bound = rsa.clone();
        bound["alg"] = "PS256".into();
        bound["kid"] = "p".into();
        let keys = read(&json!({ "keys": [rsa, bound, ec("e")] })).expect("keys");
        assert_eq!(keys.find(Some("r")).expect("a key").validation.algorithms, [Algorithm::RS256]);
        assert_eq!(keys.find(Some("e")).expect("a key").validation.algorithms, [Algorithm::ES256]);
        assert!(keys.find(Some("p")).is_none(), "its own algorithm is not allowed by the settings");
        assert!(keys.find(None).is_none(), "with several keys a token must say which");
    }

    #[test]
    fn keys_that_are_of_no_use_are_left_out_and_a_set_without_any_other_is_refused() {
        let mut encrypts = ec("enc");
        encrypts["use"] = "enc".into();
        let others = [
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256" }),
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": POINT, "y": POINT, "kid": "k" }),
            json!({ "kty": "new", "kid": "n" }),
            json!(7),
            encrypts,
        ];
        for other in &others {
            assert!(read(&json!({ "keys": [other] })).is_err(), "{other}");
            let keys = read(&json!({ "keys": [other, ec("good")] })).expect("one good key");
            assert!(keys.find(Some("good")).is_some() && keys.find(None).is_some(), "{other}");
            assert!(other["kid"].as_str().is_none_or(|kid| keys.find(Some(kid)).is_none()), "{other}");
        }
        let text = json!({ "keys": [ec("a"), ec("b")] }).to_string();
        for end in 0..text.len() {
            assert!(KeySet::read(&text.as_bytes()[..end], &config::identity::Jwt::default()).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_broken_or_doubled_key_does_not_take_the_others_with_it() {
        let broken = json!({ "kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken" });
        let rsa = |kid: &str| json!({ "kty": "RSA", "n": POINT, "e": "AQAB", "kid": kid });
        let keys = read(&json!({ "keys": [broken.clone(), ec("good")] })).expect("one good key");
        assert!(keys.find(Some("good")).is_some() && keys.find(Some("broken")).is_none());
        assert!(keys.find(None).is_some(), "there is only one that can be meant");
        let keys = read(&json!({ "keys": [ec("a"), rsa("a"), ec("good"), rsa("other")] })).expect("two good keys");
        assert!(keys.find(Some("a")).is_none(), "which of them is meant?");
        assert!(keys.find(Some("good")).is_some() && keys.find(Some("other")).is_some());
        let keys = read(&json!({ "keys": [ec("a"), ec("a")] })).expect("the same key twice is one");
        assert!(keys.find(Some("a")).is_some() && keys.find(None).is_some());
        let keys =
            read(&json!({ "keys": [rsa("broken"), broken.clone()] })).expect("what cannot be read is no second key");
        assert!(keys.find(Some("broken")).is_some());
        for none in [json!([broken]), json!([ec("a"), rsa("a")])] {
            assert!(read(&json!({ "keys": none })).is_err(), "{none}");
        }
    }
}
