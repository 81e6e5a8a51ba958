//! The public keys of an issuer, and which algorithm each may be used with.
//!
//! The algorithm in a token's header does not decide which one is used: a key is valid only for the algorithms of its own kind
//! that the settings allow. So a public key can never be taken for a shared secret.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::ensure;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::sound;
use crate::config;
use crate::config::identity::Algorithm as Allowed;
use crate::error::shortened;

/// Most characters of a key's name in a warning.
const LONGEST_NAME: usize = 64;
/// Most keys that are warned of at a time.
const MOST_WARNINGS: usize = 8;

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

/// A key that could be meant for tokens and is not used, by its name, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LeftOut {
    kid: String,
    why: &'static str,
}

/// Reads the documents of one issuer, and warns of each key that it leaves out: once, when that begins.
pub struct Reader {
    settings: config::identity::Jwt,
    warned: Mutex<Vec<LeftOut>>,
}

impl Reader {
    /// Reads by these settings.
    pub fn new(settings: &config::identity::Jwt) -> Self {
        Self { settings: settings.clone(), warned: Mutex::default() }
    }

    /// Reads a document: see [`KeySet::read`].
    pub fn read(&self, content: &[u8]) -> anyhow::Result<KeySet> {
        let (keys, left_out) = parse(content, &self.settings)?;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<_> = left_out.iter().filter(|key| !warned.contains(key)).collect();
        for LeftOut { kid, why } in new.iter().take(MOST_WARNINGS) {
            warn!(jwk.kid = kid, reason = why, "a key of the issuer is left out; its other keys are in use");
        }
        if new.len() > MOST_WARNINGS {
            warn!(keys.number = new.len() - MOST_WARNINGS, "further keys of the issuer are left out");
        }
        *warned = left_out;
        drop(warned);
        KeySet::of(keys)
    }
}

/// What becomes of a key in a document.
enum Judged {
    Usable(Box<Usable>),
    /// It is of no kind that the settings allow, or not for signatures.
    Foreign,
    LeftOut(&'static str),
}

/// Judges a key. Those of unknown or forbidden kinds are passed over, as RFC 7517 requires.
fn judge(jwk: &Value, settings: &config::identity::Jwt) -> Judged {
    if !jwk.is_object() {
        return Judged::LeftOut("is not an object");
    }
    let Ok(parsed) = Jwk::deserialize(jwk) else { return Judged::LeftOut("a member has a wrong type") };
    // The library takes a key without the members of its kind for one of an unknown kind.
    let kind = |member| jwk.get(member).and_then(Value::as_str);
    let known = match kind("kty") {
        Some("RSA") => true,
        Some("EC") => matches!(kind("crv"), None | Some("P-256" | "P-384")),
        Some("OKP") => matches!(kind("crv"), None | Some("Ed25519")),
        _ => false,
    };
    if known && matches!(parsed.algorithm, AlgorithmParameters::Other(_)) {
        return Judged::LeftOut("a member is missing or has a wrong type");
    }
    let algorithms = algorithms(&parsed, &settings.algorithms);
    if algorithms.is_empty() {
        return Judged::Foreign;
    }
    let Some(key) = DecodingKey::from_jwk(&parsed).ok().filter(|_| sound::is_sound(&parsed.algorithm)) else {
        return Judged::LeftOut("its numbers are no key that can verify anything");
    };
    let key = Key { key, validation: validation(algorithms, settings) };
    Judged::Usable(Box::new(Usable { name: parsed.common.key_id, parameters: parsed.algorithm, key }))
}

/// Returns the usable keys of a document, and those that are left out.
fn parse(content: &[u8], settings: &config::identity::Jwt) -> anyhow::Result<(Vec<Usable>, Vec<LeftOut>)> {
    let document: Document = serde_json::from_slice(content).map_err(|_| anyhow::anyhow!("is not a JWKS"))?;
    let (mut keys, mut left_out) = (Vec::<Usable>::new(), Vec::new());
    let mut leave_out = |kid: &Value, why| {
        let kid = kid.as_str().map_or_else(|| kid.to_string(), str::to_owned);
        let key = LeftOut { kid: shortened(&kid, LONGEST_NAME), why };
        if !left_out.contains(&key) {
            left_out.push(key);
        }
    };
    for jwk in &document.keys {
        match judge(jwk, settings) {
            // The same key twice is one key.
            Judged::Usable(usable) if keys.iter().any(|other| other.is_same(&usable)) => {}
            Judged::Usable(usable) => keys.push(*usable),
            Judged::Foreign => {}
            Judged::LeftOut(why) => leave_out(jwk.get("kid").unwrap_or(&Value::Null), why),
        }
    }
    let names: Vec<_> = keys.iter().map(|key| key.name.clone()).collect();
    keys.retain(|key| {
        let alone = key.name.is_none() || names.iter().filter(|name| **name == key.name).count() == 1;
        if !alone {
            leave_out(&key.name.clone().into(), "another key has the same kid");
        }
        alone
    });
    Ok((keys, left_out))
}

impl KeySet {
    /// Reads a JWKS (RFC 7517). Keys of unknown or forbidden kinds are left out, as the RFC requires, and so are keys that
    /// cannot be read. Of two different keys with one `kid` neither is used: which of them a token means is not known, and one
    /// of the two may be there by mistake. The other keys of the document serve.
    ///
    /// # Errors
    /// A document that is no JWKS, or has no usable key.
    pub fn read(content: &[u8], settings: &config::identity::Jwt) -> anyhow::Result<Self> {
        Self::of(parse(content, settings)?.0)
    }

    fn of(keys: Vec<Usable>) -> anyhow::Result<Self> {
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

    /// A point of P-256: its generator.
    const X: &str = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
    const Y: &str = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

    fn ec(kid: &str) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": kid })
    }

    /// 2048 bits that are no product of two primes, which nobody looks at.
    fn rsa(kid: &str) -> Value {
        json!({ "kty": "RSA", "n": format!("{}w", "_".repeat(341)), "e": "AQAB", "kid": kid })
    }

    /// The value with one member changed.
    fn but(mut jwk: Value, member: &str, value: impl Into<Value>) -> Value {
        jwk[member] = value.into();
        jwk
    }

    fn without(mut jwk: Value, member: &str) -> Value {
        jwk.as_object_mut().expect("an object").remove(member);
        jwk
    }

    fn read(document: &Value) -> anyhow::Result<KeySet> {
        KeySet::read(document.to_string().as_bytes(), &config::identity::Jwt::default())
    }

    #[test]
    fn a_key_is_good_for_the_algorithms_of_its_own_kind_only() {
        let bound = but(rsa("p"), "alg", "PS256");
        let keys = read(&json!({ "keys": [rsa("r"), bound, ec("e")] })).expect("keys");
        assert_eq!(keys.find(Some("r")).expect("a key").validation.algorithms, [Algorithm::RS256]);
        assert_eq!(keys.find(Some("e")).expect("a key").validation.algorithms, [Algorithm::ES256]);
        assert!(keys.find(Some("p")).is_none(), "its own algorithm is not allowed by the settings");
        assert!(keys.find(None).is_none(), "with several keys a token must say which");
    }

    #[test]
    fn keys_that_are_of_no_use_are_left_out_and_a_set_without_any_other_is_refused() {
        let encrypts = but(ec("enc"), "use", "enc");
        let others = [
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256" }),
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": X, "y": Y, "kid": "k" }),
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

    /// The keys that are left out of a document with a good one, and why.
    fn left_out(jwk: &Value) -> Vec<(String, &'static str)> {
        let document = json!({ "keys": [jwk, ec("good")] }).to_string();
        let (keys, left_out) = parse(document.as_bytes(), &config::identity::Jwt::default()).expect("a JWKS");
        assert_eq!(keys.len(), 1, "the other serves: {jwk}");
        left_out.into_iter().map(|key| (key.kid, key.why)).collect()
    }

    #[test]
    fn each_key_that_could_be_meant_for_tokens_and_is_broken_is_named_with_the_reason() {
        for (jwk, kid, why) in [
            (json!(7), "null", "not an object"),
            (but(rsa("b"), "alg", 3), "b", "wrong type"),
            (but(rsa("b"), "kid", 5), "5", "wrong type"),
            (without(rsa("b"), "n"), "b", "member is missing"),
            (without(ec("b"), "crv"), "b", "member is missing"),
            (without(without(ec("b"), "y"), "kid"), "null", "member is missing"),
            (but(rsa("b"), "n", "!"), "b", "no key that can verify"),
            (but(rsa("b"), "n", X), "b", "no key that can verify"),
            (but(ec("b"), "x", Y), "b", "no key that can verify"),
            (but(ec("b"), "y", "AA"), "b", "no key that can verify"),
        ] {
            let left_out = left_out(&jwk);
            assert!(
                matches!(&*left_out, [(name, reason)] if name == kid && reason.contains(why)),
                "{jwk}: {left_out:?}"
            );
        }
        let long = but(rsa(&"k".repeat(1000)), "n", "!");
        assert_eq!(left_out(&long)[0].0.len(), LONGEST_NAME);
    }

    #[test]
    fn keys_of_other_kinds_are_no_cause_for_a_warning() {
        for jwk in [
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" }),
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "new" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": X, "y": Y, "kid": "k" }),
            json!({ "kty": "OKP", "crv": "X25519", "x": X, "kid": "k" }),
            but(ec("enc"), "use", "enc"),
            but(rsa("p"), "alg", "PS512"),
        ] {
            assert_eq!(left_out(&jwk), [], "{jwk}");
        }
    }

    #[test]
    fn a_broken_or_doubled_key_does_not_take_the_others_with_it() {
        let broken = json!({ "kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken" });
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
