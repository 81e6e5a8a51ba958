//! Bodies that the client has not unpacked.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::error::{ConnectionError, Error};

/// True if a body is packed with gzip under a name that the client does not know: `x-gzip` (RFC 9110, section 8.4.1.3), or one in
/// capital letters. Of a body that it has unpacked, the client removes the name.
pub fn is_still_packed(headers: &http::HeaderMap) -> bool {
    let encoding = headers.get(http::header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| {
        let name = encoding.as_bytes().trim_ascii().to_ascii_lowercase();
        name == b"x-gzip" || name == b"gzip"
    })
}

/// Unpacks a body of at most `most` bytes.
pub fn unpacked(packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let mut reader = MultiGzDecoder::new(packed).take(most as u64 + 1);
    reader.read_to_end(&mut body).map_err(|error| Error::BrokenBody(ConnectionError::of(&error)))?;
    if body.len() > most { Err(Error::TooLarge { limit: most }) } else { Ok(body) }
}
