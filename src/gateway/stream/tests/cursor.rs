//! Lists that are read by cursor: what is fetched ahead, and lists that do not end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Notify;

use super::support::{all, answer, by_cursor, by_cursor_for, context, decoded, gateway, parameter, rows};
use crate::config;
use crate::error::{Error, Result};
use crate::gateway::caller::{Caller, Grant};
use crate::share::Shares;
use crate::upstream::call::{Answer, Call, Priority};

/// A list of some pages with two rows each, and what happened to it.
#[derive(Clone, Default)]
struct List {
    pages: usize,
    log: Arc<Mutex<Vec<String>>>,
    /// Bodies that the look-ahead is shown, by page, in place of the true ones.
    lies: HashMap<usize, &'static str>,
    /// Pages that are answered only when told.
    held: HashMap<usize, Arc<Notify>>,
}

struct Dropped(List, String);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note(&self.1);
    }
}

impl List {
    fn of(pages: usize) -> Self {
        Self { pages, ..Self::default() }
    }

    fn note(&self, what: &str) {
        self.log.lock().expect("no panic").push(what.to_owned());
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }

    fn asked(&self) -> usize {
        self.log().iter().filter(|line| line.starts_with("ask")).count()
    }

    async fn serve(self, call: Call) -> Result<Answer> {
        assert_eq!(call.priority, Priority::Background);
        let cursor = parameter(&call, "page%5Bafter%5D").unwrap_or("1");
        self.note(&format!("ask {cursor}"));
        let Ok(page) = cursor.parse::<usize>() else {
            let _dropped = Dropped(self.clone(), format!("drop {cursor}"));
            return std::future::pending().await;
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Some(held) = self.held.get(&page) {
            held.notified().await;
        }
        let first = i64::try_from(page).expect("few pages") * 2;
        let more = page < self.pages;
        let meta = format!(r#""meta":{{"has_more":{more},"after_cursor":"{}"}}"#, page + 1);
        let body = format!(r#"{{"groups":[{}],{meta}}}"#, rows([first, first + 1]));
        if let Some(peek) = &call.peek {
            peek(self.lies.get(&page).map_or(body.as_bytes(), |lie| lie.as_bytes()));
            tokio::task::yield_now().await;
        }
        self.note(&format!("read {page}"));
        answer(&call, &body)
    }

    fn gateway(&self, streams: config::Stream) -> crate::gateway::Gateway {
        let list = self.clone();
        gateway(streams, move |call| list.clone().serve(call))
    }
}

fn ids(pages: i64) -> Vec<i64> {
    (2..2 + 2 * pages).collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_request_leaves_before_the_page_is_read() {
    let list = List::of(4);
    assert_eq!(all(by_cursor(&list.gateway(config::Stream::default()), 2)).await, ids(4));
    assert_eq!(list.log(), ["ask 1", "ask 2", "read 1", "ask 3", "read 2", "ask 4", "read 3", "read 4"]);
}

#[tokio::test(start_paused = true)]
async fn without_prefetching_a_page_is_asked_for_when_the_one_before_was_taken() {
    let list = List::of(3);
    let streams = config::Stream { prefetch: false, ..config::Stream::default() };
    let mut messages = by_cursor(&list.gateway(streams), 2);
    for page in 1..=3 {
        messages.next().await.expect("a message").expect("good");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(list.asked(), page);
    }
    assert!(messages.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_stops_reading_has_one_page_ready_and_no_further_one_is_asked_for() {
    let list = List::of(50);
    let mut messages = by_cursor(&list.gateway(config::Stream::default()), 2);
    for page in 1..=5 {
        let message = decoded(&messages.next().await.expect("a message").expect("good"));
        let first = i64::try_from(page).expect("few pages") * 2;
        assert_eq!(message.groups.iter().map(|group| group.id).collect::<Vec<_>>(), [first, first + 1]);
        // Paused time advances only when nothing is left to do. A page that has waited this long is compressed.
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(list.asked(), page + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_message_comes_while_the_second_page_is_on_its_way() {
    let mut list = List::of(2);
    let held = Arc::new(Notify::new());
    list.held.insert(2, Arc::clone(&held));
    let mut messages = by_cursor(&list.gateway(config::Stream::default()), 2);
    let first = decoded(&messages.next().await.expect("a message").expect("good"));
    assert_eq!((first.groups.len(), first.next_page_token.is_empty()), (2, false));
    assert_eq!(list.log(), ["ask 1", "ask 2", "read 1"]);
    held.notify_one();
    assert_eq!(all(messages).await, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_on_a_wrong_guess_is_dropped_and_the_right_page_asked_for() {
    let mut list = List::of(3);
    list.lies.insert(1, r#"{"meta":{"has_more":true,"after_cursor":"wrong"}}"#);
    list.lies.insert(3, r#"{"meta":{"has_more":true,"after_cursor":"beyond"}}"#);
    let seen = all(by_cursor(&list.gateway(config::Stream::default()), 2)).await;
    assert_eq!(seen, ids(3));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut log = list.log();
    log.sort_unstable();
    let expected = [
        "ask 1",
        "ask 2",
        "ask 3",
        "ask beyond",
        "ask wrong",
        "drop beyond",
        "drop wrong",
        "read 1",
        "read 2",
        "read 3",
    ];
    assert_eq!(log, expected);
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_end_says_nothing_is_read_first() {
    let mut list = List::of(3);
    list.lies.extend([(1, "{}"), (2, "not JSON")]);
    assert_eq!(all(by_cursor(&list.gateway(config::Stream::default()), 2)).await, ids(3));
    assert_eq!(list.log(), ["ask 1", "read 1", "ask 2", "read 2", "ask 3", "read 3"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_stream_ends_the_request_that_is_ahead() {
    let mut list = List::of(2);
    list.lies.insert(1, r#"{"meta":{"has_more":true,"after_cursor":"endless"}}"#);
    let mut messages = by_cursor(&list.gateway(config::Stream::default()), 2);
    let poll = messages.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_pending());
    while !list.log().contains(&"ask endless".to_owned()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(messages);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(list.log().contains(&"drop endless".to_owned()), "{:?}", list.log());
}

#[tokio::test(start_paused = true)]
async fn a_stream_yields_between_messages_although_the_next_is_ready() {
    let upstream = |call: Call| async move {
        let rows: Vec<String> = (1..=8).map(|id| format!(r#"{{"id":{id},"name":"{}"}}"#, "n".repeat(9_000))).collect();
        answer(&call, &format!(r#"{{"groups":[{}],"meta":{{"has_more":false}}}}"#, rows.join(",")))
    };
    let mut messages = by_cursor(&gateway(config::Stream::default(), upstream), 8);
    messages.next().await.expect("a message").expect("good");
    for _ in 2..=4 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(messages.as_mut().poll_next(&mut context).is_pending());
        tokio::task::yield_now().await;
        let Poll::Ready(Some(Ok(_))) = messages.as_mut().poll_next(&mut context) else { panic!("it was ready") };
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_repeats_its_rows_under_ever_new_cursors_ends() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let gateway = gateway(config::Stream::default(), move |call| {
        let number = count.fetch_add(1, Relaxed);
        // Two pages in turn.
        let first = i64::try_from(number % 2).expect("small") * 2 + 1;
        let body = format!(
            r#"{{"groups":[{}],"meta":{{"has_more":true,"after_cursor":"c{number}"}}}}"#,
            rows([first, first + 1])
        );
        async move { answer(&call, &body) }
    });
    let mut messages = by_cursor(&gateway, 2);
    let mut seen = 0;
    let end = loop {
        match messages.next().await.expect("an end with an error") {
            Ok(message) => seen += decoded(&message).groups.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, Error::PaginationLoop { .. }), "{end:?}");
    // Two pages that are new, and at most three that are not.
    assert!((4..=10).contains(&seen) && asked.load(Relaxed) <= 6, "{seen} rows");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_rows_that_cannot_be_read_under_ever_new_cursors_ends() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let gateway = gateway(config::Stream::default(), move |call| {
        let number = count.fetch_add(1, Relaxed);
        let size: usize = parameter(&call, "page%5Bsize%5D").expect("one is asked for").parse().expect("a number");
        let rows = vec![r#"{"name":"no id"}"#; size].join(",");
        let body = format!(r#"{{"groups":[{rows}],"meta":{{"has_more":true,"after_cursor":"c{number}"}}}}"#);
        async move { answer(&call, &body) }
    });
    // A page and its message may be ahead of what has been judged.
    for (size, pages) in [(100, 3), (40, 3), (1, 100)] {
        asked.store(0, Relaxed);
        let mut messages = by_cursor(&gateway, size);
        let mut unreadable = 0;
        let end = loop {
            match messages.next().await.expect("an end with an error") {
                Ok(message) => unreadable += decoded(&message).unreadable_rows,
                Err(error) => break error,
            }
        };
        assert!(matches!(end, Error::PaginationLoop { .. }), "{end:?}");
        let told = (pages - 1) * size..=(pages + 1) * size;
        assert!(told.contains(&unreadable), "{unreadable} were told of pages of {size}");
        assert!(
            asked.load(Relaxed) <= u64::try_from(pages + 1).expect("few"),
            "{} pages of {size}",
            asked.load(Relaxed)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn some_pages_of_which_no_row_can_be_read_do_not_end_a_list() {
    let gateway = gateway(config::Stream::default(), move |call| {
        let page: i64 = parameter(&call, "page%5Bafter%5D").unwrap_or("1").parse().expect("a number");
        let row = if (3..9).contains(&page) { "null".to_owned() } else { format!(r#"{{"id":{page}}}"#) };
        let (more, next) = (page < 10, page + 1);
        let body = format!(r#"{{"groups":[{row}],"meta":{{"has_more":{more},"after_cursor":"{next}"}}}}"#);
        async move { answer(&call, &body) }
    });
    let mut messages = by_cursor(&gateway, 1);
    let (mut ids, mut unreadable) = (Vec::new(), 0);
    while let Some(message) = messages.next().await {
        let message = decoded(&message.expect("the list goes on"));
        ids.extend(message.groups.iter().map(|group| group.id));
        unreadable += message.unreadable_rows;
    }
    assert_eq!((ids, unreadable), (vec![1, 2, 9, 10], 6));
}

#[tokio::test(start_paused = true)]
async fn a_page_is_charged_until_it_was_taken_and_none_is_fetched_ahead_when_memory_is_short() {
    let list = List::of(9);
    let (shares, gateway) =
        (Shares::new(&config::Callers::default(), 1 << 20), list.gateway(config::Stream::default()));
    let share = shares.of("one");
    let mine =
        crate::gateway::Context { caller: Caller::new("one".into(), Grant::default(), share.clone()), ..context() };
    let mut messages = by_cursor_for(&gateway, 2, mine);
    let first = messages.next().await.expect("a message").expect("good");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(list.asked(), 2, "one is fetched ahead");
    let two_pages = shares.bytes();
    assert!((first.bytes().len()..=4 * first.bytes().len()).contains(&two_pages), "{two_pages} for two pages");
    // What else the caller holds is more than half of its share.
    let other = share.charge(share.most_bytes() / 2).expect("it fits");
    for page in 2..=5 {
        messages.next().await.expect("a message").expect("the page that it has come to still fits");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(list.asked(), page, "no further one");
    }
    drop(other);
    messages.next().await.expect("a message").expect("good");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(list.asked(), 7, "there is memory again");
    drop(messages);
    tokio::time::sleep(Duration::from_millis(1)).await; // the tasks of its pages end
    assert_eq!(shares.bytes(), 0);
}
