//! Bodies that the client has not unpacked.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::error::{ConnectionError, Error};

/// True if a body is packed with gzip under a name that the client does not know: `x-gzip` (RFC 9110, section 8.4.1.3), one in
/// capital letters, or one beside `identity`, which says nothing. Of a body that it has unpacked, the client removes the name.
pub fn is_still_packed(headers: &http::HeaderMap) -> bool {
    let lines = headers.get_all(http::header::CONTENT_ENCODING).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut names = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    let is_gzip = |name: &[u8]| name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip");
    names.next().is_some_and(is_gzip) && names.next().is_none()
}

/// Unpacks a body of at most `most` bytes.
pub fn unpacked(packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let mut reader = MultiGzDecoder::new(packed).take(most as u64 + 1);
    reader.read_to_end(&mut body).map_err(|error| Error::BrokenBody(ConnectionError::of(&error)))?;
    if body.len() > most { Err(Error::TooLarge { limit: most }) } else { Ok(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_packed_if_gzip_is_the_only_encoding_that_says_anything() {
        let is_packed = |lines: &[&'static str]| {
            let line = |text: &&'static str| (http::header::CONTENT_ENCODING, http::HeaderValue::from_static(text));
            is_still_packed(&lines.iter().map(line).collect())
        };
        for lines in [&["gzip"][..], &["X-GZip"], &["gzip, identity"], &["Identity,GZIP"], &["identity", "gzip"]] {
            assert!(is_packed(lines), "{lines:?}");
        }
        for lines in [&[][..], &[""], &["identity"], &["br"], &["gzip, gzip"], &["gzip", "br"]] {
            assert!(!is_packed(lines), "{lines:?}");
        }
    }
}
