//! Numbers that stand for credentials in cache keys.
//!
//! With passed-through credentials the values come from callers, and two with the same fingerprint would read each other's
//! answers. So it is HMAC-SHA-256 under a key that only this process knows, cut to 128 bits: nobody can compute it to look for
//! a pair, and among a billion values the chance that any two collide is 10⁻²¹. Keeping the values themselves to compare would
//! keep secrets in memory for as long as answers are cached.

use std::sync::LazyLock;

use aws_lc_rs::hmac;

static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
    let random = aws_lc_rs::rand::SystemRandom::new();
    hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("the system has random numbers")
});

/// Returns the number of a list of parts; the same bytes split differently have another.
pub(super) fn of(parts: &[&[u8]]) -> u128 {
    let mut context = hmac::Context::with_key(&KEY);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let tag = context.sign();
    let (first, _) = tag.as_ref().split_first_chunk().expect("SHA-256 has 32 bytes");
    u128::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_and_so_does_where_they_are_cut() {
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
        for other in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"c", b"ab"], &[b"ab", b"c", b""]] {
            assert_ne!(of(&[b"ab", b"c"]), of(other), "{other:?}");
        }
    }
}
