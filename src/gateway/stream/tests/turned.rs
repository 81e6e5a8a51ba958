//! Lists that are asked for by cursor and answered by page number.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;

use super::support::{
    Listed, Messages, all, answer, assignable, by_cursor, by_number, decoded, gateway, parameter, rows,
};
use crate::config;
use crate::error::{Error, Refusal};
use crate::gateway::Gateway;
use crate::upstream::call::Call;

const ROWS: i64 = 25;

/// How the upstream treats a request by cursor.
#[derive(Clone, Copy)]
enum Cursors {
    Ignored,
    Refused,
    IgnoredFrom(usize),
}

/// Returns a gateway for a list of [`ROWS`] groups in pages by number, and the log of its requests.
fn numbered(cursors: Cursors, link_states_size: bool) -> (Gateway, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let log = asked.clone();
    let gateway = gateway(config::Stream::default(), move |call: Call| {
        let before = {
            let mut log = log.lock().expect("no panic");
            log.push(call.rest.query.clone());
            log.len()
        };
        let by_cursor = parameter(&call, "page%5Bsize%5D");
        let refused = || Error::RecordInvalid(Box::new(Refusal { status: 400, ..Refusal::default() }));
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
                let stated = if link_states_size { format!("&per_page={size}") } else { String::new() };
                let link = format!(r#""https://x.example/groups.json?page={}{stated}""#, number + 1);
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
    let (gateway, asked) = numbered(Cursors::Ignored, true);
    assert_eq!(all(by_cursor(&gateway, 4)).await, (1..=ROWS).collect::<Vec<_>>());
    let asked = asked.lock().expect("no panic");
    assert_eq!(asked[0], "page%5Bsize%5D=4&include_boundary_indicators=true");
    assert_eq!(asked[1..], ["per_page=10&page=2", "per_page=10&page=3"], "the size of the pages that come");
}

#[tokio::test(start_paused = true)]
async fn each_token_of_such_a_stream_leads_to_the_rest_of_it() {
    let (gateway, _) = numbered(Cursors::Ignored, true);
    let mut messages = assignable(&gateway, 4, "");
    let mut before = 0;
    while let Some(message) = messages.next().await {
        let message = decoded(&message.expect("good"));
        before += i64::try_from(message.groups.len()).expect("few");
        if message.next_page_token.is_empty() {
            break;
        }
        let following = all(assignable(&gateway, 4, &message.next_page_token)).await;
        assert_eq!(following, (before + 1..=ROWS).collect::<Vec<_>>());
    }
    assert_eq!(before, ROWS);
}

#[tokio::test(start_paused = true)]
async fn an_assignable_list_that_refuses_cursors_is_read_by_number() {
    let (gateway, asked) = numbered(Cursors::Refused, true);
    assert_eq!(all(assignable(&gateway, 4, "")).await, (1..=ROWS).collect::<Vec<_>>());
    assert_eq!(asked.lock().expect("no panic")[1], "per_page=4");
    let refused = by_cursor(&gateway, 4).next().await;
    assert!(matches!(refused, Some(Err(Error::RecordInvalid(_)))), "a list with cursors is not asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_ignored_half_way_is_an_error() {
    let (gateway, _) = numbered(Cursors::IgnoredFrom(2), true);
    let mut messages = by_cursor(&gateway, 4);
    assert!(matches!(messages.next().await, Some(Ok(_))));
    assert!(matches!(messages.next().await, Some(Err(Error::PaginationLoop { .. }))));
}

#[tokio::test(start_paused = true)]
async fn where_no_link_states_a_page_size_none_is_asked_for() {
    let (gateway, asked) = numbered(Cursors::Ignored, false);
    assert_eq!(all(by_cursor(&gateway, 4)).await, (1..=ROWS).collect::<Vec<_>>());
    assert_eq!(asked.lock().expect("no panic")[1..], ["page=2", "page=3"], "another size would move where pages begin");
    let first = assignable(&gateway, 4, "").next().await.expect("a message").expect("good");
    let token = decoded(&first).next_page_token;
    assert_eq!(all(assignable(&gateway, 4, &token)).await, (11..=ROWS).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_list_by_number_that_repeats_itself_ends_with_an_error() {
    for search in [false, true] {
        let hits = Arc::<Mutex<u32>>::default();
        let count = hits.clone();
        let gateway = gateway(config::Stream::default(), move |call: Call| {
            *count.lock().expect("no panic") += 1;
            let key = if search { "users" } else { "groups" };
            let number: u32 = parameter(&call, "page").map_or(1, |page| page.parse().expect("a number"));
            let link = format!("https://x.example/?page={}&per_page=2", number + 1);
            let outcome = answer(&call, &format!(r#"{{"{key}":[{}],"next_page":"{link}"}}"#, rows([1, 2])));
            async move { outcome }
        });
        let (ids, error) = if search {
            until_it_fails(by_number(&gateway, 2, "")).await
        } else {
            until_it_fails(by_cursor(&gateway, 2)).await
        };
        assert!(matches!(error, Error::PaginationLoop { .. }), "{error:?}");
        assert_eq!(ids, [1, 2], "each row once");
        assert!(*hits.lock().expect("no panic") < 20);
    }
}

async fn until_it_fails<M: Listed>(mut messages: Messages<M>) -> (Vec<i64>, Error) {
    let mut ids = Vec::new();
    loop {
        match messages.next().await.expect("it fails before it ends") {
            Ok(message) => ids.extend(decoded(&message).ids()),
            Err(error) => return (ids, error),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_by_number_of_rows_that_cannot_be_read_ends_with_an_error() {
    let hits = Arc::<Mutex<u32>>::default();
    let count = hits.clone();
    let gateway = gateway(config::Stream::default(), move |call: Call| {
        *count.lock().expect("no panic") += 1;
        let number: u32 = parameter(&call, "page").map_or(1, |page| page.parse().expect("a number"));
        let link = format!("https://x.example/?page={}", number + 1);
        let rows = ["{}"; 100].join(",");
        let outcome = answer(&call, &format!(r#"{{"users":[{rows}],"next_page":"{link}"}}"#));
        async move { outcome }
    });
    let (ids, error) = until_it_fails(by_number(&gateway, 100, "")).await;
    assert!(matches!(error, Error::PaginationLoop { .. }), "{error:?}");
    assert_eq!((ids, *hits.lock().expect("no panic")), (Vec::new(), 3));
}
