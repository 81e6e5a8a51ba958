//! Sizes: a number of bytes, or a number with its unit.

use std::fmt;

use bytesize::ByteSize;
use serde::Deserializer;
use serde::de::{Error, Visitor};

/// No size is larger, so that sums of them can be counted.
const MOST: u64 = 1 << 50;

/// Reads a size: `4194304`, `"4 MiB"` or `"4 MB"`.
pub(super) fn size<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    struct Size;

    impl Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a number of bytes, or a size such as 4 MiB")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
            u64::try_from(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            let size: Result<ByteSize, _> = text.parse();
            size.map(|size| size.0).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }
    let bytes = from.deserialize_any(Size)?;
    if bytes > MOST {
        return Err(D::Error::custom("is more than a pebibyte"));
    }
    T::try_from(bytes).map_err(|_| D::Error::custom("is more than this machine can count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_or_has_a_unit() {
        let read = |json: serde_json::Value| size::<_, usize>(json).ok();
        assert_eq!(read(4_194_304.into()), Some(4 << 20));
        for text in ["4 MiB", "4MiB", "4194304", "4096 KiB"] {
            assert_eq!(read(text.into()), Some(4 << 20), "{text}");
        }
        assert_eq!(read("4 MB".into()), Some(4_000_000));
        for wrong in [serde_json::json!(-1), "4 apples".into(), "".into(), "-4 MiB".into(), true.into(), 1.5.into()] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
