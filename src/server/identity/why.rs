//! Why a caller's credential is refused.

/// A word for metrics and a clause for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Why {
    /// The reason in metrics.
    pub word: &'static str,
    /// The reason that the caller gets.
    pub text: &'static str,
}

impl Why {
    pub(super) const fn new(word: &'static str, text: &'static str) -> Self {
        Self { word, text }
    }
}

pub const NOTHING: Why = Why::new("missing", "nothing was sent that says who calls");
pub const SEVERAL: Why = Why::new("ambiguous", "more than one credential was sent");
