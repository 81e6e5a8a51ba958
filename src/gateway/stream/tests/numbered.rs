//! Lists that are read by page number while rows come and go, and whose pages are fetched in parallel.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt as _;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::support::{all, answer, by_number, decoded, gateway, parameter, rows};
use crate::config;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::gateway::stream::numbered::GOES_BACK;
use crate::upstream::call::{Answer, Call};

/// A list that can change between two answers.
#[derive(Clone)]
struct List(Arc<Mutex<State>>);

struct State {
    rows: Vec<i64>,
    asked: Vec<u32>,
    /// What happens after each answer; the last one first.
    changes: Vec<Change>,
    fate: fastrand::Rng,
    latency: Duration,
    counts: bool,
    /// The page whose first answer states another count, as it is written.
    odd: Option<(usize, &'static str)>,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Nothing,
    /// Inserts a new row at a place, in per mille of the list.
    Insert(usize),
    /// Removes this many rows from a place on, in per mille of the list.
    Delete(usize, usize),
}

impl List {
    fn of(rows: i64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rows: (1..=rows).collect(),
            asked: Vec::new(),
            changes: Vec::new(),
            fate: fastrand::Rng::with_seed(1),
            latency: Duration::from_millis(20),
            counts: true,
            odd: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    async fn serve(self, call: Call) -> Result<Answer> {
        let number = parameter(&call, "page").map_or(1, |page| page.parse().expect("a number"));
        let size: usize = parameter(&call, "per_page").expect("it is asked for").parse().expect("a number");
        let wait = {
            let mut state = self.state();
            state.asked.push(number);
            // Lets answers overtake each other: the list is read at a random point of the latency.
            let there = state.fate.f64();
            (state.latency.mul_f64(there), state.latency.mul_f64(1.0 - there))
        };
        sleep(wait.0).await;
        let body = self.state().page(usize::try_from(number).expect("small"), size);
        sleep(wait.1).await;
        answer(&call, &body)
    }

    fn gateway(&self, parallel_pages: usize) -> Gateway {
        let list = self.clone();
        let streams = config::Stream { parallel_pages, ..config::Stream::default() };
        gateway(streams, move |call| list.clone().serve(call))
    }
}

impl State {
    fn page(&mut self, number: usize, size: usize) -> String {
        let from = self.rows.len().min((number - 1) * size);
        let to = self.rows.len().min(from + size);
        let next =
            if to < self.rows.len() { format!(r#""https://x.example/?page={}""#, number + 1) } else { "null".into() };
        let count = if self.counts { self.rows.len().to_string() } else { "null".into() };
        let count = self.odd.take_if(|(odd, _)| *odd == number).map_or(count, |(_, odd)| odd.to_owned());
        let body =
            format!(r#"{{"users":[{}],"next_page":{next},"count":{count}}}"#, rows(self.rows[from..to].to_vec()));
        match self.changes.pop() {
            None | Some(Change::Nothing) => {}
            Some(Change::Insert(place)) => {
                let new = 1_000_000 + i64::try_from(self.changes.len()).expect("few");
                self.rows.insert(self.rows.len() * place / 1000, new);
            }
            Some(Change::Delete(place, rows)) => {
                let from = self.rows.len() * place / 1000;
                self.rows.drain(from..self.rows.len().min(from + rows));
            }
        }
        body
    }
}

async fn time_of(list: &List, parallel_pages: usize) -> Duration {
    let begun = Instant::now();
    assert_eq!(all(by_number(&list.gateway(parallel_pages), 100, "")).await, (1..=10_000).collect::<Vec<_>>());
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pages_come_four_times_faster_than_one_after_another() {
    let list = List::of(10_000);
    let (one, six) = (time_of(&list, 1).await, time_of(&list, 6).await);
    assert!(one >= Duration::from_secs(2), "{one:?}: a hundred answers, 20 ms each");
    assert!(six * 4 <= one, "{six:?} instead of {one:?}");
    let mut asked = list.state().asked.clone();
    asked.sort_unstable();
    assert_eq!(asked, (1..=100).flat_map(|page| [page, page]).collect::<Vec<_>>(), "each page once per stream");
}

#[tokio::test(start_paused = true)]
async fn no_more_pages_are_fetched_ahead_than_allowed_for_a_caller_who_stops_reading() {
    let list = List::of(1_000);
    let mut messages = by_number(&list.gateway(4), 10, "");
    for page in 1..=5_u32 {
        messages.next().await.expect("a message").expect("good");
        sleep(Duration::from_mins(1)).await;
        assert_eq!(list.state().asked.len(), usize::try_from(page + 4).expect("small"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_page_beyond_the_end_or_the_depth_is_asked_for() {
    let list = List::of(95);
    assert_eq!(all(by_number(&list.gateway(6), 10, "")).await.len(), 95);
    assert_eq!(list.state().asked.iter().max(), Some(&10));
    let list = List::of(12_000);
    let mut messages = by_number(&list.gateway(6), 100, "");
    for _ in 1..=99 {
        messages.next().await.expect("a message").expect("good");
    }
    sleep(Duration::from_mins(1)).await;
    assert_eq!(list.state().asked.iter().max(), Some(&100), "Zendesk refuses page 101");
}

#[tokio::test(start_paused = true)]
async fn one_odd_count_costs_a_few_requests_and_no_row() {
    for odd in ["0", "1", "4000000000", "null", "-5", r#""x""#, "[]"] {
        for page in [1, 2, 25, 48, 50] {
            let list = List::of(500);
            list.state().odd = Some((page, odd));
            assert_eq!(
                all(by_number(&list.gateway(6), 10, "")).await,
                (1..=500).collect::<Vec<_>>(),
                "{odd} on {page}"
            );
            let asked = list.state().asked.len();
            assert!(asked <= 50 + 15, "{asked} requests for 50 pages: {odd} on {page}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_states_no_count_is_read_page_by_page() {
    let list = List::of(50);
    list.state().counts = false;
    assert_eq!(all(by_number(&list.gateway(6), 10, "")).await, (1..=50).collect::<Vec<_>>());
    assert_eq!(list.state().asked, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn every_token_leads_to_the_rest_of_the_list() {
    let list = List::of(95);
    let gateway = list.gateway(6);
    let mut messages = by_number(&gateway, 10, "");
    let mut before = 0;
    while let Some(message) = messages.next().await {
        let message = decoded(&message.expect("good"));
        before += i64::try_from(message.users.len()).expect("few");
        if message.next_page_token.is_empty() {
            break;
        }
        let following = all(by_number(&gateway, 10, &message.next_page_token)).await;
        assert_eq!(following, (before + 1..=95).collect::<Vec<_>>());
    }
    assert_eq!(before, 95);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_fails_the_stream_after_the_pages_before_it() {
    let list = List::of(50);
    let serve = list.clone();
    let gateway = gateway(config::Stream::default(), move |call| {
        let list = serve.clone();
        async move {
            if parameter(&call, "page") == Some("3") { Err(Error::AttemptTimeout) } else { list.serve(call).await }
        }
    });
    let mut messages = by_number(&gateway, 10, "");
    for _ in 1..=2 {
        messages.next().await.expect("a message").expect("good");
    }
    assert!(matches!(messages.next().await, Some(Err(Error::AttemptTimeout))));
    assert!(messages.next().await.is_none());
}

fn changed(changes: Vec<Change>, seed: u64, parallel_pages: usize) -> (Vec<i64>, Vec<i64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let list = List::of(120);
        {
            let mut state = list.state();
            state.changes = changes;
            state.fate = fastrand::Rng::with_seed(seed);
        }
        let listed = all(by_number(&list.gateway(parallel_pages), 10, "")).await;
        let held = list.state().rows.clone();
        (listed, held)
    })
}

fn twice(seen: &[i64]) -> Vec<i64> {
    let mut sorted = seen.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

fn insertion() -> impl Strategy<Value = Change> {
    prop_oneof![Just(Change::Nothing), (0..=1000_usize).prop_map(Change::Insert)]
}

fn deletion() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Nothing),
        1 => (0..=1000_usize, 1..=25_usize).prop_map(|(place, rows)| Change::Delete(place, rows)),
    ]
}

/// Changes with at most as many deletions as a walk goes back.
fn deletions() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec(deletion(), 0..40).prop_map(|mut changes| {
        let deletes = changes.iter_mut().filter(|change| matches!(change, Change::Delete(..)));
        for change in deletes.skip(usize::try_from(GOES_BACK).expect("small")) {
            *change = Change::Nothing;
        }
        changes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    #[ignore = "slow"]
    fn rows_that_come_while_a_list_is_read_make_no_other_row_missing_or_double(
        changes in proptest::collection::vec(insertion(), 0..40), seed in any::<u64>(), width in 1..8_usize,
    ) {
        let (seen, _) = changed(changes, seed, width);
        prop_assert_eq!(twice(&seen), Vec::<i64>::new());
        let missing: Vec<i64> = (1..=120).filter(|row| !seen.contains(row)).collect();
        prop_assert_eq!(missing, Vec::<i64>::new());
    }

    #[test]
    #[ignore = "slow"]
    fn rows_that_go_while_a_list_is_read_make_no_other_row_missing_or_double(
        changes in deletions(), seed in any::<u64>(), width in 1..8_usize,
    ) {
        let (seen, held) = changed(changes, seed, width);
        prop_assert_eq!(twice(&seen), Vec::<i64>::new());
        let missing: Vec<i64> = held.into_iter().filter(|row| !seen.contains(row)).collect();
        prop_assert_eq!(missing, Vec::<i64>::new());
    }
}
