//! Whether the numbers of a public key can verify anything: the library that verifies tokens looks at them no sooner than at a
//! token, and then says that its signature is wrong.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};

/// True if a key of a kind that is accepted for tokens can be used: a point on its curve, or a modulus of 2048 to 8192 bits.
pub fn is_sound(parameters: &AlgorithmParameters) -> bool {
    parse(parameters).is_some()
}

fn parse(parameters: &AlgorithmParameters) -> Option<ParsedPublicKey> {
    let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    match parameters {
        AlgorithmParameters::RSA(key) => {
            let (n, e) = (bytes(&key.n)?, bytes(&key.e)?);
            let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
            let components = RsaPublicKeyComponents { n, e };
            // The algorithm's range is looked at no sooner than at a signature.
            let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok();
            parsed.filter(|_| (2048..=8192).contains(&bits))
        }
        AlgorithmParameters::EllipticCurve(key) => {
            let (algorithm, length) = match key.curve {
                EllipticCurve::P256 => (&ECDSA_P256_SHA256_FIXED, 32),
                EllipticCurve::P384 => (&ECDSA_P384_SHA384_FIXED, 48),
                _ => return None,
            };
            let (x, y) = (bytes(&key.x)?, bytes(&key.y)?);
            let whole = x.len() == length && y.len() == length;
            // An uncompressed point, by SEC 1.
            whole.then(|| [&[4][..], &x, &y].concat()).and_then(|point| ParsedPublicKey::new(algorithm, point).ok())
        }
        AlgorithmParameters::OctetKeyPair(key) => ParsedPublicKey::new(&ED25519, bytes(&key.x)?).ok(),
        _ => None,
    }
}
