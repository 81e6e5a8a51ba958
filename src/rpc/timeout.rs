//! `grpc-timeout`: how long a caller is willing to wait.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::error::{Error, Result};

const NAME: HeaderName = HeaderName::from_static("grpc-timeout");

/// Reads `grpc-timeout`: at most 8 digits and a unit.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
pub fn read(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get(&NAME) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let valid = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = if valid { digits.parse().ok()? } else { return None };
        Some(match unit {
            "H" => Duration::from_hours(number),
            "M" => Duration::from_mins(number),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    });
    parsed.map(Some).ok_or_else(|| Error::invalid("grpc-timeout", "must be up to 8 digits and one of H, M, S, m, u, n"))
}

/// Writes a timeout as `grpc-timeout`, in the finest unit that has room for it.
pub fn write(headers: &mut HeaderMap, timeout: Duration) {
    const MOST: u128 = 99_999_999;
    let text = match timeout {
        _ if timeout.as_micros() <= MOST => format!("{}u", timeout.as_micros()),
        _ if timeout.as_millis() <= MOST => format!("{}m", timeout.as_millis()),
        _ => format!("{}S", timeout.as_secs().min(99_999_999)),
    };
    headers.insert(NAME, text.try_into().expect("digits and a letter"));
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_unit_of_a_timeout_is_read_and_nonsense_is_refused() {
        let parsed = |text: &'static str| read(&HeaderMap::from_iter([(NAME, HeaderValue::from_static(text))]));
        for (text, wanted) in [
            ("2H", Duration::from_hours(2)),
            ("3M", Duration::from_mins(3)),
            ("4S", Duration::from_secs(4)),
            ("500m", Duration::from_millis(500)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("7n", Duration::from_nanos(7)),
        ] {
            assert_eq!(parsed(text).expect(text), Some(wanted), "{text}");
        }
        for text in ["", "1", "S", "-1S", "1s", "123456789S", "1 S", "1SS"] {
            assert!(parsed(text).is_err(), "{text}");
        }
        assert_eq!(read(&HeaderMap::new()).expect("none"), None);
    }

    #[test]
    fn a_timeout_is_read_as_it_was_written() {
        for timeout in [
            Duration::ZERO,
            Duration::from_micros(99_999_999),
            Duration::from_millis(100_001),
            Duration::from_mins(15),
            Duration::from_hours(48),
        ] {
            let mut headers = HeaderMap::new();
            write(&mut headers, timeout);
            assert_eq!(read(&headers).expect("valid"), Some(timeout));
        }
    }
}
