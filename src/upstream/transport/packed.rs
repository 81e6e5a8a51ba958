//! Bodies packed with gzip, which are unpacked here as they come: the client's own decoder stops after the first of the members
//! that a gzip file may have (RFC 1952, section 2.2).

use std::io::{self, Write as _};
use std::mem::take;

use flate2::write::MultiGzDecoder;

/// Packed bytes that are unpacked at once: they can become a thousand times as many.
const PIECE: usize = 1 << 10;

/// True if a body is packed with gzip: by that name, as `x-gzip` (RFC 9110, section 8.4.1.3), in capital letters, or beside
/// `identity`, which says nothing.
fn is_packed(headers: &http::HeaderMap) -> bool {
    let lines = headers.get_all(http::header::CONTENT_ENCODING).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut names = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    let is_gzip = |name: &[u8]| name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip");
    names.next().is_some_and(is_gzip) && names.next().is_none()
}

/// What has come of a body, unpacked.
pub enum Coming {
    /// It is as it came.
    Plain(Vec<u8>),
    /// It was packed. The decoder has it, and whether anything came.
    Packed(Box<MultiGzDecoder<Vec<u8>>>, bool),
}

impl Coming {
    /// Returns a body with these headers, before anything has come, with room for so many bytes.
    pub fn of(headers: &http::HeaderMap, room: usize) -> Self {
        let body = Vec::with_capacity(room);
        if is_packed(headers) { Self::Packed(Box::new(MultiGzDecoder::new(body)), false) } else { Self::Plain(body) }
    }

    /// Returns in what pieces it should be added.
    pub fn piece(&self) -> usize {
        if matches!(self, Self::Packed(..)) { PIECE } else { usize::MAX }
    }

    /// Returns how many bytes it has so far. The decoder may hold back some kilobytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Plain(body) => body.len(),
            Self::Packed(body, _) => body.get_ref().len(),
        }
    }

    /// Adds what came.
    pub fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(body) => body.extend_from_slice(piece),
            Self::Packed(body, has_come) => {
                *has_come |= !piece.is_empty();
                body.write_all(piece)?;
            }
        }
        Ok(())
    }

    /// Returns the whole body.
    pub fn end(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(body) => Ok(body),
            Self::Packed(_, false) => Ok(Vec::new()),
            Self::Packed(mut body, true) => {
                body.try_finish()?;
                Ok(take(body.get_mut()))
            }
        }
    }

    /// Returns what there is of a body that does not come to its end.
    pub fn so_far(self) -> Vec<u8> {
        match self {
            Self::Plain(body) => body,
            Self::Packed(mut body, _) => {
                // What cannot be unpacked is missing, as is all that did not come.
                body.flush().ok();
                take(body.get_mut())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

    use super::*;

    #[test]
    fn a_body_is_packed_if_gzip_is_the_only_encoding_that_says_anything() {
        let is_packed = |lines: &[&'static str]| {
            let line = |text: &&'static str| (CONTENT_ENCODING, HeaderValue::from_static(text));
            is_packed(&lines.iter().map(line).collect())
        };
        for lines in [&["gzip"][..], &["X-GZip"], &["gzip, identity"], &["Identity,GZIP"], &["identity", "gzip"]] {
            assert!(is_packed(lines), "{lines:?}");
        }
        for lines in [&[][..], &[""], &["identity"], &["br"], &["gzip, gzip"], &["gzip", "br"]] {
            assert!(!is_packed(lines), "{lines:?}");
        }
    }

    #[test]
    fn all_members_are_unpacked_however_the_body_is_cut_and_none_is_taken_for_whole_that_is_not() {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        let text = "a text of some length ".repeat(2000);
        let mut packed = Vec::new();
        for member in [&text[..7], "", &text[7..]] {
            let mut encoder = GzEncoder::new(packed, Compression::fast());
            encoder.write_all(member.as_bytes()).expect("a vector grows");
            packed = encoder.finish().expect("a vector grows");
        }
        let unpacked = |packed: &[u8], size: usize| {
            let mut body = Coming::of(&headers, 0);
            packed.chunks(size).try_for_each(|piece| body.add(piece))?;
            body.end()
        };
        for size in [1, 2, 3, 7, 64, PIECE, packed.len()] {
            assert_eq!(unpacked(&packed, size).expect("it is whole"), text.as_bytes(), "in pieces of {size}");
            assert!(unpacked(&packed[..packed.len() - 1], size).is_err(), "in pieces of {size}");
        }
        assert!(unpacked(b"no gzip", 7).is_err());
        assert_eq!(unpacked(b"", 1).expect("nothing is nothing"), b"");
        let mut body = Coming::of(&headers, 0);
        body.add(&packed[..packed.len() - 20]).expect("it is right so far");
        let part = body.so_far();
        assert!(part.len() > text.len() / 2 && text.as_bytes().starts_with(&part), "{} bytes", part.len());
    }
}
