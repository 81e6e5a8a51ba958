//! Lists that are asked for by cursor and answered by page number.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;

use super::support::{all, answer, assignable, by_cursor, decoded, gateway, parameter, rows};
use crate::config;
use crate::error::{Error, Refusal};
use crate::gateway::Gateway;
use crate::upstream::call::Call;

const ROWS: i64 = 25;

/// What becomes of a request by cursor.
#[derive(Clone, Copy)]
enum Cursors {
    Ignored,
    Refused,
    IgnoredFrom(usize),
}

/// A list of [`ROWS`] groups in pages by number; keeps a list of what was asked.
fn numbered(cursors: Cursors) -> (Gateway, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let log = asked.clone();
    let gateway = gateway(config::Stream::default(), move |call: Call| {
        let before = {
            let mut log = log.lock().expect("no panic");
            log.push(call.rest.query.clone());
            log.len()
        };
        let by_cursor = parameter(&call, "page%5Bsize%5D");
        let refused = || Error::Rejected(Box::new(Refusal { status: 400, ..Refusal::default() }));
        let outcome = match (by_cursor, cursors) {
            (Some(_), Cursors::Refused) => Err(refused()),
            (Some(_), Cursors::IgnoredFrom(from)) if before < from => {
                answer(&call, r#"{"groups":[{"id":1000}],"meta":{"has_more":true,"after_cursor":"a"}}"#)
            }
            _ => {
                // The default of a list that does not know the page size it is asked for.
                let size: i64 = parameter(&call, "per_page").map_or(10, |size| size.parse().expect("a number"));
                let number: i64 = parameter(&call, "page").map_or(1, |page| page.parse().expect("a number"));
                let to = (number * size).min(ROWS);
                let link = format!(r#""https://x.example/groups.json?page={}&per_page={size}""#, number + 1);
                let next = if to < ROWS { link } else { "null".to_owned() };
                let rows = rows((number - 1) * size + 1..=to);
                answer(&call, &format!(r#"{{"groups":[{rows}],"next_page":{next},"count":{ROWS}}}"#))
            }
        };
        async move { outcome }
    });
    (gateway, asked)
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_by_number_and_loses_no_row() {
    let (gateway, asked) = numbered(Cursors::Ignored);
    assert_eq!(all(by_cursor(&gateway, 4)).await, (1..=ROWS).collect::<Vec<_>>());
    let asked = asked.lock().expect("no panic");
    assert_eq!(asked[0], "page%5Bsize%5D=4&include_boundary_indicators=true");
    assert_eq!(asked[1..], ["per_page=10&page=2", "per_page=10&page=3"], "the size of the pages that come");
}

#[tokio::test(start_paused = true)]
async fn each_token_of_such_a_stream_leads_to_the_rest_of_it() {
    let (gateway, _) = numbered(Cursors::Ignored);
    let mut messages = assignable(&gateway, 4, "");
    let mut before = 0;
    while let Some(message) = messages.next().await {
        let message = decoded(&message.expect("good"));
        before += i64::try_from(message.groups.len()).expect("few");
        if message.next_page_token.is_empty() {
            break;
        }
        let rest = all(assignable(&gateway, 4, &message.next_page_token)).await;
        assert_eq!(rest, (before + 1..=ROWS).collect::<Vec<_>>());
    }
    assert_eq!(before, ROWS);
}

#[tokio::test(start_paused = true)]
async fn an_assignable_list_that_refuses_cursors_is_read_by_number() {
    let (gateway, asked) = numbered(Cursors::Refused);
    assert_eq!(all(assignable(&gateway, 4, "")).await, (1..=ROWS).collect::<Vec<_>>());
    assert_eq!(asked.lock().expect("no panic")[1], "per_page=4");
    let refused = by_cursor(&gateway, 4).next().await;
    assert!(matches!(refused, Some(Err(Error::Rejected(_)))), "a list with cursors is not asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_ignored_half_way_is_an_error() {
    let (gateway, _) = numbered(Cursors::IgnoredFrom(2));
    let mut messages = by_cursor(&gateway, 4);
    assert!(matches!(messages.next().await, Some(Ok(_))));
    assert!(matches!(messages.next().await, Some(Err(Error::PaginationLoop { .. }))));
}
