//! Pages of lists and the tokens that lead from one to the next.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use prost::Message;
use zendesk_gateway::error::Error;
use zendesk_gateway::gateway::stream::{self, Chunks};
use zendesk_gateway::gateway::token::{self, Position};
use zendesk_gateway::json;
use zendesk_gateway::rest::page::{Next, Page, Sideloads};
use zendesk_gateway::rest::row::Row;
use zendesk_gateway::rest::{List, Style};

const LIST: &str = "/api/v2/users?role=agent";

/// Page tokens, as they come and with a right check before them.
pub fn page_token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for style in [Style::Cursor, Style::CursorOrOffset, Style::Offset, Style::Single, Style::Whole] {
        same_position(&text, style);
    }
    let cursor = Next::Cursor(text.into_owned());
    same_position(&token::write(&cursor, LIST), Style::Cursor);
    same_position(&forged(data), Style::Cursor);
    same_position(&forged(data), Style::Offset);
}

/// Any bytes behind a check that is right: the version and the check of a token of the list are its first nine bytes.
fn forged(bytes: &[u8]) -> String {
    let token = BASE64_URL_SAFE_NO_PAD.decode(token::write(&Next::Page(2), LIST)).expect("it was just encoded");
    BASE64_URL_SAFE_NO_PAD.encode([&token[..9], bytes].concat())
}

/// A token that is read is one that could have been written, and means the same then.
fn same_position(text: &str, style: Style) {
    let next = match token::read(text, LIST, style) {
        Ok(Position::Start) => return assert!(text.is_empty()),
        Ok(Position::After(cursor)) => Next::Cursor(cursor),
        Ok(Position::Page(number)) => Next::Page(number),
        Ok(Position::Numbered { number, size }) => Next::Numbered { number, size },
        Err(error) => return assert!(matches!(error, Error::Invalid { field, .. } if field == "page_token")),
    };
    let again = token::read(&token::write(&next, LIST), LIST, style).expect("what was read can be written");
    match (again, next) {
        (Position::After(again), Next::Cursor(cursor)) => assert_eq!(again, cursor),
        (Position::Page(again), Next::Page(number)) => assert_eq!(again, number),
        (Position::Numbered { number: again, size: rows }, Next::Numbered { number, size }) => {
            assert_eq!((again, rows), (number, size));
        }
        other => panic!("{other:?}"),
    }
}

/// Pages of every kind of row, and where they lead.
pub fn page(data: &[u8]) {
    fn of<R: Row + PartialEq + std::fmt::Debug>(data: &[u8]) {
        let Ok((page, _)) = json::decode::<Page<R>>(data) else { return };
        for next in [page.after(100), page.after(1), page.after_page(1, 100), page.after_page(u32::MAX, 1)] {
            let token = token::write(&next, LIST);
            match next {
                Next::Cursor(_) | Next::Numbered { .. } => same_position(&token, Style::Cursor),
                Next::Page(_) => same_position(&token, Style::Offset),
                Next::End | Next::Nowhere => assert!(token.is_empty()),
            }
        }
        for row in &page.rows {
            assert_eq!(&R::decode(row.encode_to_vec().as_slice()).expect("it was just encoded"), row);
            drop(row.own_read());
        }
        let rows = page.rows.len();
        let (all, mut page) = (page.beside.clone(), page);
        let parts = [page.part(&[], false), page.part(&[], true)];
        let beside: Vec<_> = parts.iter().map(|part| &part.beside).collect();
        assert!(parts.iter().all(|part| part.rows.is_empty()) && rows <= data.len());
        // What rows do not name comes with the last of them.
        let last = if R::NAMES { Sideloads::default() } else { all };
        assert_eq!(beside, [&Sideloads::default(), &last]);
    }
    macro_rules! each {
        ($($row:ident)+) => { $(of::<zendesk_gateway::proto::$row>(data);)+ };
    }
    zendesk_gateway::contract_types!(rows, each);
}

/// Pages as streams write them, row by row while they are read: the same rows lead to the same place.
pub fn stream_page(data: &[u8]) {
    /// Any stream's message, without what stands beside the rows.
    #[derive(prost::Message)]
    struct Rows<R: Message + Default + std::fmt::Debug> {
        #[prost(message, repeated, tag = "1")]
        rows: Vec<R>,
    }
    fn of<L: List<Row: PartialEq + std::fmt::Debug>>(data: &[u8]) {
        let (whole, chunks) = (json::decode::<Page<L::Row>>(data), json::decode::<Page<L::Row, Chunks<L::Row>>>(data));
        let (whole, chunks) = match (whole, chunks) {
            (Ok((whole, _)), Ok((chunks, _))) => (whole, chunks),
            (whole, chunks) => return assert_eq!(whole.is_ok(), chunks.is_ok(), "only one of them reads it"),
        };
        assert_eq!((chunks.after(2), chunks.after_page(7, 2)), (whole.after(2), whole.after_page(7, 2)));
        assert_eq!((chunks.count, &chunks.beside), (whole.count, &whole.beside));
        let messages = chunks.messages::<L::Reply>("");
        let reads =
            messages.iter().flat_map(stream::Message::own_reads::<L::Row>).map(|read| (read.request, read.reply));
        let wanted = whole.rows.iter().filter_map(Row::own_read).map(|read| (read.request, read.reply));
        assert!(reads.eq(wanted), "each row is the answer to its own read");
        let rows = messages.iter().flat_map(|message| {
            let message = Rows::<L::Row>::decode(message.bytes.clone());
            message.expect("it was just encoded").rows
        });
        assert_eq!(rows.collect::<Vec<_>>(), whole.rows);
    }
    macro_rules! each {
        ($($list:ident)+) => { $(of::<zendesk_gateway::proto::$list>(data);)+ };
    }
    zendesk_gateway::contract_types!(lists, each);
}
