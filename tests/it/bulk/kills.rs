//! Imports that survive the death of the gateway, again and again. `IMPORT_ROWS=100000 cargo test --release --test it bulk::kills -- --include-ignored` is
//! the long form.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::Stream;
use tonic::{Status, Streaming};
use zendesk_gateway::proto::{
    BulkEvent, BulkItemOutcome, BulkResult, BulkStart, StreamBulkCreateOrUpdateUsersRequest,
    StreamBulkCreateOrUpdateUsersResponse, StreamBulkCreateUsersRequest, StreamBulkCreateUsersResponse, UserInput,
};
use zendesk_gateway::sandbox::{self, Latency, Sandbox};

use super::import::Import;
use crate::support::account;
use crate::support::binary::Binary;

/// How often the gateway is killed in each import.
const KILLS: usize = 3;
/// More than this an import must not cost.
const MAX_GROWTH: u64 = 32 << 20;
/// Rows in one message.
const ROWS: usize = 250;

fn rows() -> usize {
    std::env::var("IMPORT_ROWS").ok().map_or(5_000, |rows| rows.parse().expect("a number"))
}

/// True for the tenth of the rows that Zendesk refuses.
fn is_bad(row: usize) -> bool {
    row.wrapping_mul(2_654_435_761) >> 7 & 0x3ff < 102
}

/// Which call makes the import.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// By external ids: a row can be sent twice without harm.
    Upsert,
    /// Without anything that tells two users apart.
    Create,
}

impl Way {
    fn row(self, row: usize) -> UserInput {
        UserInput {
            name: Some(format!("row {row}")),
            external_id: (self == Self::Upsert).then(|| format!("kill-{row}")),
            email: is_bad(row).then(|| format!("no address {row}")),
            ..UserInput::default()
        }
    }
}

/// The messages of a stream that begins at a row.
fn messages<M>(way: Way, start: BulkStart, make: fn(Option<BulkStart>, Vec<UserInput>) -> M) -> impl Stream<Item = M> {
    let (first, all) = (usize::try_from(start.resume_from).expect("a row"), rows());
    let parts =
        (first..all).step_by(ROWS).map(move |from| (from..all.min(from + ROWS)).map(|row| way.row(row)).collect());
    let opening = std::iter::once((Some(start), Vec::new()));
    futures_util::stream::iter(
        opening.chain(parts.map(|rows| (None, rows))).map(move |(start, rows)| make(start, rows)),
    )
}

/// The replies of a stream of either kind.
enum Replies {
    Upserts(Streaming<StreamBulkCreateOrUpdateUsersResponse>),
    Creations(Streaming<StreamBulkCreateUsersResponse>),
}

impl Replies {
    async fn begin(gateway: &Binary, way: Way, start: BulkStart) -> Self {
        let mut users = gateway.users().await;
        match way {
            Way::Upsert => {
                let make = |start, users| StreamBulkCreateOrUpdateUsersRequest { start, users, ..Default::default() };
                let stream = users.stream_bulk_create_or_update_users(messages(way, start, make)).await;
                Self::Upserts(stream.expect("a stream").into_inner())
            }
            Way::Create => {
                let make = |start, users| StreamBulkCreateUsersRequest { start, users, ..Default::default() };
                let stream = users.stream_bulk_create_users(messages(way, start, make)).await;
                Self::Creations(stream.expect("a stream").into_inner())
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Option<BulkEvent>>, Status> {
        Ok(match self {
            Self::Upserts(replies) => replies.message().await?.map(|reply| reply.event),
            Self::Creations(replies) => replies.message().await?.map(|reply| reply.event),
        })
    }
}

/// Carries an import out with gateways that are killed on the way. Returns what its caller knows, the rows of which it does not know
/// whether they were sent, one range for each kill, and the most memory that a gateway took.
async fn import(sandbox: &Sandbox, way: Way) -> (Import, Vec<Range<i64>>, u64) {
    let (mut import, mut unknown, mut most) = (Import::default(), Vec::new(), 0);
    for life in 0..=KILLS {
        let mut gateway = Binary::before(sandbox, &[("TELEMETRY__LOG_FILTER", "warn")]).await;
        let before = gateway.peak();
        let mut replies = Replies::begin(&gateway, way, import.start()).await;
        // In the middle of things: at a point that differs from life to life, and between any two of its steps.
        let until = import.receipts + rows() / 100 / (KILLS + 1) + life;
        let (mut told, mut lives) = (0, true);
        loop {
            match replies.next().await {
                Ok(Some(event)) => import.take(event),
                Ok(None) if life == KILLS => break,
                Ok(None) => panic!("it ended before it was killed"),
                Err(_) if life < KILLS => break,
                Err(status) => panic!("{status:?}"),
            }
            told += 1;
            // What it had said before reaches its caller all the same.
            if lives && life < KILLS && import.receipts >= until && told % (life + 2) == 0 {
                most = most.max(gateway.peak() - before);
                gateway.kill().await;
                lives = false;
            }
        }
        if life == KILLS {
            most = most.max(gateway.peak() - before);
        } else if way == Way::Create {
            unknown.extend(import.skip_unknown());
        } else {
            unknown.extend(import.unknown());
            import.repeat_unknown();
        }
    }
    (import, unknown, most)
}

async fn account_of(way: Way) -> Sandbox {
    let jobs = sandbox::Jobs { per_item: Duration::from_micros(500), ..sandbox::Jobs::default() };
    let latency = if way == Way::Upsert { Latency::None } else { Latency::Fixed(Duration::from_millis(5)) };
    Sandbox::start(sandbox::Config { users: 50, jobs, latency, ..account() }).await.expect("a stand-in")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn an_import_by_external_ids_is_exact_however_often_the_gateway_dies() {
    let (sandbox, began) = (account_of(Way::Upsert).await, Instant::now());
    let before = sandbox.store().user_ids().len();
    let (import, unknown, most) = import(&sandbox, Way::Upsert).await;
    let results = import.results();
    assert_eq!(results.len(), rows(), "each row has an outcome");
    let good = (0..rows()).filter(|row| !is_bad(*row)).count();
    assert_eq!(sandbox.store().user_ids().len(), before + good, "as many users as good rows");
    for (row, outcome) in (0..).zip(import.outcomes.values()) {
        let id = sandbox.store().user_by_external_id(&format!("kill-{row}"));
        let made = matches!(outcome.result(), BulkResult::Created | BulkResult::Updated);
        assert_eq!((made, outcome.result() == BulkResult::Failed), (!is_bad(row), is_bad(row)), "{outcome:?}");
        assert_eq!((id, outcome.external_id.clone()), (outcome.id, Some(format!("kill-{row}"))), "{outcome:?}");
    }
    let sent = sandbox.hits("/users/create_or_update_many");
    println!(
        "{} rows in {:?}, {sent} requests, unknown {unknown:?}, memory +{} KiB",
        rows(),
        began.elapsed(),
        most >> 10
    );
    assert!(unknown.iter().all(|rows| rows.end - rows.start <= 100), "{unknown:?}");
    assert!(most < MAX_GROWTH, "memory grew by {most} bytes");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn an_import_without_keys_leaves_one_request_per_death_unknown_and_says_which() {
    let (sandbox, began) = (account_of(Way::Create).await, Instant::now());
    let known: BTreeSet<i64> = sandbox.store().user_ids().into_iter().collect();
    let (import, unknown, most) = import(&sandbox, Way::Create).await;
    let is_unknown = |row: i64| unknown.iter().any(|rows| rows.contains(&row));
    let mut made = vec![0; rows()];
    for id in sandbox.store().user_ids().into_iter().filter(|id| !known.contains(id)) {
        let user = sandbox.store().user(id).expect("it is listed");
        let row = user["name"].as_str().and_then(|name| name.strip_prefix("row ")).expect("a row of the import");
        made[row.parse::<usize>().expect("a number")] += 1;
    }
    for (index, made) in made.iter().enumerate() {
        let row = i64::try_from(index).expect("few");
        let outcome = import.outcomes.get(&row).map(BulkItemOutcome::result);
        match outcome {
            None => {
                assert!(is_unknown(row) && *made <= 1, "row {row} was made {made} times, and nothing is said of it");
            }
            Some(BulkResult::Created) => assert_eq!(*made, 1, "row {row}"),
            Some(BulkResult::Failed) => assert!(*made == 0 && is_bad(index), "row {row} was made {made} times"),
            other => panic!("row {row}: {other:?}"),
        }
    }
    println!("{} rows in {:?}, unknown {unknown:?}, memory +{} KiB", rows(), began.elapsed(), most >> 10);
    assert!(unknown.len() <= KILLS && unknown.iter().all(|rows| rows.end - rows.start <= 100), "{unknown:?}");
    assert!(most < MAX_GROWTH, "memory grew by {most} bytes");
}
