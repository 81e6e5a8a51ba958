//! Numbers so close to 0 that a double would be 0.
//!
//! The strict reader has no text of a number, so it only notes that there was a 0, and then the body is searched. The lenient one
//! passes such a number on as its text, as it does with those that are too large.

use std::cell::Cell;

/// Digits of an exponent with which a number may become 0: the smallest double is 5e-324.
const DIGITS: usize = 3;

thread_local! {
    /// Whether a number was read as 0.
    static ZERO: Cell<bool> = const { Cell::new(false) };
}

/// Returns a number that was read: 0 for -0, as readers differ in whether they keep its sign.
pub(super) fn read(double: f64) -> f64 {
    if double == 0.0 {
        ZERO.set(true);
    }
    double + 0.0
}

/// True if a number of a body may have been read as 0 that is none, since this was last asked.
pub(super) fn may_be_lost(body: &[u8]) -> bool {
    ZERO.take() && memchr::memchr_iter(b'-', body).any(|at| is_exponent(body, at))
}

/// True if a minus is that of an exponent of many digits.
fn is_exponent(body: &[u8], at: usize) -> bool {
    let before = at.checked_sub(2).and_then(|from| body.get(from..at));
    let is_within = before.is_some_and(|before| before[0].is_ascii_digit() && before[1].eq_ignore_ascii_case(&b'e'));
    let digits = body[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = body.get(at + 1 + digits);
    is_within && digits >= DIGITS && end.is_none_or(|end| b",]} \t\r\n".contains(end))
}

/// True if the text of a number that a double holds as 0 says another one.
pub(super) fn is_lost(text: &str, double: f64) -> bool {
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    double == 0.0 && digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit))
}
