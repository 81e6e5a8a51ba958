//! The corpus: inputs that fuzzing found to reach different code, kept in `tests/fuzz/corpus`, one a line.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::targets::TARGETS;

/// Reads a line as [`slice::escape_ascii`] writes it.
fn unescape(line: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), line.as_bytes());
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit");
                (u8::try_from(digit(*high) * 16 + digit(*low)).expect("two digits"), after)
            }
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [byte, after @ ..]) => (*byte, after),
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

#[test]
#[ignore = "slow"]
fn what_fuzzing_found_keeps_its_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut size = 0;
    for (name, target, _) in TARGETS {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        size += text.len();
        for line in text.lines() {
            let input = unescape(line);
            assert_eq!(input.escape_ascii().to_string(), line, "{name}: a line as it is written");
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
            assert!(outcome.is_ok(), "{name}: {line}");
        }
    }
    assert!(size <= 1 << 20, "{size} bytes of corpus");
}
