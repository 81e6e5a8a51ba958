//! The channel as hyper sees it: reads and writes pass through, frame by frame.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::channel::Channel;
use super::parser::{self, FrameHeader, Parser, Piece};
use super::stream::End;
use super::streams::{Streams, Verdict, tag};

/// How many bytes a client starts with before its first frame.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// How many bytes are read at a time.
const PORTION: usize = 16 * 1024;

/// A channel that knows the frames on it.
pub struct Frames {
    channel: Channel,
    streams: Arc<Streams>,
    /// How many bytes of the client's preface are missing.
    preface: usize,
    arriving: Parser,
    verdict: Verdict,
    /// The stream whose header block is arriving and gets a tag.
    opening: Option<u32>,
    portion: Box<[u8]>,
    /// What hyper may read.
    readable: BytesMut,
    leaving: Parser,
    /// The frame that hyper is writing.
    leaving_head: FrameHeader,
    /// Whether hyper's first frame, its settings, is written: nothing may come before it.
    greeted: bool,
    /// A frame that is being sent beside hyper's.
    adding: BytesMut,
    /// The error code of the reset that is being written.
    code: Vec<u8>,
    /// What was written since the last flush.
    written: Vec<Written>,
}

enum Written {
    Head(u32),
    Body(u32, usize),
    End(u32),
    Reset(u32, u32),
    GoAway,
}

impl Frames {
    pub fn new(channel: Channel, streams: Arc<Streams>) -> Self {
        Self {
            channel,
            streams,
            preface: PREFACE,
            arriving: Parser::default(),
            verdict: Verdict::Pass,
            opening: None,
            portion: vec![0; PORTION].into_boxed_slice(),
            readable: BytesMut::new(),
            leaving: Parser::default(),
            leaving_head: FrameHeader::default(),
            greeted: false,
            adding: BytesMut::new(),
            code: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Takes `filled` bytes of the portion, and keeps for hyper the frames that it is to see.
    fn arrived(&mut self, filled: usize) {
        let (preface, mut frames) = self.portion[..filled].split_at(self.preface.min(filled));
        self.preface -= preface.len();
        self.readable.extend_from_slice(preface);
        while let Some(piece) = self.arriving.next(&mut frames) {
            match piece {
                Piece::Head(head) => {
                    self.verdict = self.streams.arrives(head);
                    if self.verdict == Verdict::Open {
                        self.opening = Some(head.stream_id);
                    }
                    if self.verdict != Verdict::Swallow {
                        // The tag follows as a frame of its own, which then ends the header block.
                        let flags = if self.opening.is_some() { head.flags & !parser::END_HEADERS } else { head.flags };
                        self.readable.extend_from_slice(&FrameHeader { flags, ..head }.to_bytes());
                    }
                }
                Piece::Payload(bytes) if self.verdict != Verdict::Swallow => self.readable.extend_from_slice(bytes),
                Piece::Payload(_) => {}
                Piece::End(head) if head.has(parser::END_HEADERS) && self.opening == Some(head.stream_id) => {
                    self.opening = None;
                    self.readable.extend_from_slice(&tag(head.stream_id));
                }
                Piece::End(head) if self.verdict == Verdict::Swallow => self.streams.swallowed(head),
                Piece::End(head) if head.kind == parser::RST_STREAM => self.streams.end(head.stream_id, End::Broken),
                Piece::End(_) => {}
            }
        }
    }

    /// Sends the frames that are added beside hyper's, unless hyper is in the middle of writing one.
    fn poll_add(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.greeted || self.leaving.until_boundary() > 0 {
            return Poll::Ready(Ok(()));
        }
        self.adding.extend_from_slice(&self.streams.take_to_send());
        if self.adding.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.adding.has_remaining() {
            let written = ready!(Pin::new(&mut self.channel).poll_write(cx, &self.adding))?;
            self.adding.advance(written);
        }
        Pin::new(&mut self.channel).poll_flush(cx)
    }

    /// Follows what hyper has written.
    fn wrote(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.leaving.next(&mut bytes) {
            match piece {
                Piece::Head(head) => self.leaving_head = head,
                Piece::Payload(bytes) => match self.leaving_head.kind {
                    parser::DATA => self.written.push(Written::Body(self.leaving_head.stream_id, bytes.len())),
                    parser::RST_STREAM => self.code.extend_from_slice(bytes),
                    _ => {}
                },
                Piece::End(head) => self.wrote_frame(head),
            }
        }
    }

    fn wrote_frame(&mut self, head: FrameHeader) {
        self.greeted = true;
        let code = std::mem::take(&mut self.code);
        match head.kind {
            parser::HEADERS => self.written.push(Written::Head(head.stream_id)),
            parser::RST_STREAM => {
                let code = code.try_into().map_or(0, u32::from_be_bytes);
                self.written.push(Written::Reset(head.stream_id, code));
            }
            parser::GOAWAY => self.written.push(Written::GoAway),
            _ => {}
        }
        if matches!(head.kind, parser::HEADERS | parser::DATA) && head.has(parser::END_STREAM) {
            self.written.push(Written::End(head.stream_id));
        }
    }

    fn settle(&mut self) {
        for written in self.written.drain(..) {
            match written {
                Written::Head(stream) => self.streams.wrote_head(stream),
                Written::Body(stream, bytes) => self.streams.wrote_body(stream, bytes),
                Written::End(stream) => self.streams.end(stream, End::Complete),
                Written::Reset(stream, code) => self.streams.wrote_reset(stream, code),
                Written::GoAway => self.streams.sent_goaway(),
            }
        }
    }
}

impl AsyncRead for Frames {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            // hyper writes only when it has something to say, but it always reads.
            if let Poll::Ready(added) = me.poll_add(cx) {
                added?;
            }
            if me.readable.has_remaining() {
                let taken = me.readable.len().min(buf.remaining());
                buf.put_slice(&me.readable.split_to(taken));
                return Poll::Ready(Ok(()));
            }
            if me.streams.are_over(cx) && me.adding.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut portion = ReadBuf::new(&mut me.portion);
            ready!(Pin::new(&mut me.channel).poll_read(cx, &mut portion))?;
            let filled = portion.filled().len();
            if filled == 0 {
                return Poll::Ready(Ok(()));
            }
            me.arrived(filled);
        }
    }
}

impl AsyncWrite for Frames {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        ready!(me.poll_add(cx))?;
        let most = if me.streams.has_to_send() { me.leaving.until_boundary().max(1) } else { buf.len() };
        let written = ready!(Pin::new(&mut me.channel).poll_write(cx, &buf[..most.min(buf.len())]))?;
        me.wrote(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.poll_add(cx))?;
        ready!(Pin::new(&mut me.channel).poll_flush(cx))?;
        me.settle();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().channel).poll_shutdown(cx)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.streams.close();
    }
}
