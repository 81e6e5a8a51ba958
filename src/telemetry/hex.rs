//! Trace and span ids in hexadecimal digits. Every call needs them, and a formatter takes ten times as long.

use opentelemetry::trace::{SpanId, TraceId};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digits of an id.
pub struct Hex<const N: usize>([u8; N]);

impl<const N: usize> AsRef<[u8]> for Hex<N> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> Hex<N> {
    fn of(bytes: &[u8]) -> Self {
        let mut digits = [b'0'; N];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(digits)
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

/// Returns a trace id's digits.
pub fn trace(id: TraceId) -> Hex<32> {
    Hex::of(&id.to_bytes())
}

/// Returns a span id's digits.
pub fn span(id: SpanId) -> Hex<16> {
    Hex::of(&id.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_formatter() {
        for bits in [1, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, u128::MAX] {
            let (of_trace, of_span) =
                (TraceId::from_bytes(bits.to_be_bytes()), SpanId::from_bytes([bits.to_be_bytes()[15]; 8]));
            assert_eq!(trace(of_trace).as_str(), of_trace.to_string());
            assert_eq!(span(of_span).as_str(), of_span.to_string());
        }
    }
}
