//! HTTP/2 frame headers (RFC 9113, section 4.1): nine bytes that give a frame's length, type, flags and stream.

/// The types that matter here.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// The flags that matter here.
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// The length of a frame header in bytes.
const FRAME_HEADER_LEN: usize = 9;

/// The header of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHeader {
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream_id: u32,
}

impl FrameHeader {
    fn read(bytes: [u8; FRAME_HEADER_LEN]) -> Self {
        let [high, middle, low, kind, flags, stream_id @ ..] = bytes;
        let length = u32::from_be_bytes([0, high, middle, low]);
        // The highest bit is reserved.
        Self { length, kind, flags, stream_id: u32::from_be_bytes(stream_id) & 0x7fff_ffff }
    }

    pub fn to_bytes(self) -> [u8; FRAME_HEADER_LEN] {
        let mut bytes = [0; FRAME_HEADER_LEN];
        bytes[..3].copy_from_slice(&self.length.to_be_bytes()[1..]);
        bytes[3..5].copy_from_slice(&[self.kind, self.flags]);
        bytes[5..].copy_from_slice(&self.stream_id.to_be_bytes());
        bytes
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Returns a whole frame: its header, then `payload`.
pub fn encode_frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames made here are short");
    [&FrameHeader { length, kind, flags, stream_id }.to_bytes(), payload].concat()
}

/// A part of the bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A frame starts.
    Head(FrameHeader),
    /// Some of its payload.
    Payload(&'a [u8]),
    /// It ends.
    End(FrameHeader),
}

/// Finds the frames in bytes that arrive in any portions.
#[derive(Default)]
pub struct Parser {
    head: [u8; FRAME_HEADER_LEN],
    /// How many bytes of `head` are there.
    filled: usize,
    /// The frame whose payload is being read.
    current: Option<FrameHeader>,
    /// How many bytes of the payload are missing.
    left: usize,
}

impl Parser {
    /// Returns the next piece, taken from the front of `bytes`; call until `None`, because [`Piece::End`] needs no bytes.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
        if let Some(head) = self.current {
            if self.left == 0 {
                self.current = None;
                return Some(Piece::End(head));
            }
            let payload = take(bytes, self.left);
            self.left -= payload.len();
            return (!payload.is_empty()).then_some(Piece::Payload(payload));
        }
        let more = take(bytes, FRAME_HEADER_LEN - self.filled);
        self.head[self.filled..][..more.len()].copy_from_slice(more);
        self.filled += more.len();
        if self.filled < FRAME_HEADER_LEN {
            return None;
        }
        let head = FrameHeader::read(self.head);
        self.filled = 0;
        self.left = head.length as usize;
        self.current = Some(head);
        Some(Piece::Head(head))
    }

    /// Returns how many bytes this frame still needs; 0 between two frames.
    pub fn until_boundary(&self) -> usize {
        match (self.current, self.filled) {
            (Some(_), _) => self.left,
            (None, 0) => 0,
            (None, filled) => FRAME_HEADER_LEN - filled,
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, left) = bytes.split_at(most.min(bytes.len()));
    *bytes = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_portioned() {
        let stream = [
            encode_frame(HEADERS, END_HEADERS, 1, b"abc"),
            encode_frame(DATA, END_STREAM, 1, b""),
            encode_frame(9, 0, 3, b"xyz"),
        ]
        .concat();
        for portion in 1..=stream.len() {
            let mut parser = Parser::default();
            let (mut heads, mut ends, mut payload) = (Vec::new(), 0, Vec::new());
            for mut bytes in stream.chunks(portion) {
                while let Some(piece) = parser.next(&mut bytes) {
                    match piece {
                        Piece::Head(head) => heads.push((head.kind, head.stream_id)),
                        Piece::Payload(bytes) => payload.extend_from_slice(bytes),
                        Piece::End(_) => ends += 1,
                    }
                }
            }
            assert_eq!((heads, ends), (vec![(HEADERS, 1), (DATA, 1), (CONTINUATION, 3)], 3));
            assert_eq!((payload.as_slice(), parser.until_boundary()), (&b"abcxyz"[..], 0));
        }
    }

    #[test]
    fn a_boundary_is_where_a_frame_has_ended() {
        let bytes = encode_frame(DATA, 0, 1, b"abc");
        for (fed, left) in [(0, 0), (4, 5), (9, 3), (11, 1), (12, 0)] {
            let mut parser = Parser::default();
            let mut bytes = &bytes[..fed];
            while parser.next(&mut bytes).is_some() {}
            assert_eq!(parser.until_boundary(), left, "after {fed} bytes");
        }
    }
}
