//! Callers who share a read that waits, and cannot wait as long as the one who began it: each is told why, before its time is up.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep};
use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::error::{Error, Refusal};
use zendesk_gateway::proto::{GetGroupRequest, GetUserRequest};
use zendesk_gateway::upstream::judge::judge;
use zendesk_gateway::upstream::{Answer, Call};

use crate::support::refused;
use crate::support::seam::{Seam, records, within};

const MINUTE: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_secs(4);

/// A record: a group, or a user, whose reads also gather in batches.
#[derive(Debug, Clone, Copy)]
enum Record {
    Group,
    User,
}

async fn read(t: &Seam, record: Record, id: i64, time: Duration) -> Result<(), tonic::Status> {
    match record {
        Record::Group => t.rpc.get_group(within(time, GetGroupRequest { id, ..Default::default() })).await.map(drop),
        Record::User => t.rpc.get_user(within(time, GetUserRequest { id, ..Default::default() })).await.map(drop),
    }
}

/// One caller with a minute begins to read record 7; another, with four seconds, joins. Returns code and reason of the other.
async fn joined(t: &Seam, record: Record) -> (Code, String) {
    let other = async {
        sleep(Duration::from_millis(10)).await;
        let began = Instant::now();
        let refused = refused(read(t, record, 7, SHORT).await);
        let took = began.elapsed();
        assert!(took < SHORT && took > SHORT * 9 / 10, "{took:?}: in time, and no sooner than it must be");
        (refused.code, refused.reason)
    };
    tokio::select! {
        _ = read(t, record, 7, MINUTE) => panic!("it takes longer"),
        told = other => told,
    }
}

/// Answers, and says that no request is left for twenty seconds.
fn spent(call: &Call) -> Result<Answer, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-rate-limit", "700"), ("x-rate-limit-remaining", "0"), ("ratelimit-reset", "20")] {
        headers.insert(name, value.parse().expect("a value"));
    }
    judge(call, StatusCode::OK, &headers, br#"{"group":{"id":1,"name":"N"}}"#)
}

#[tokio::test(start_paused = true)]
async fn while_the_budget_is_spent() {
    for record in [Record::Group, Record::User] {
        let t = Seam::new(&Config::default(), |call| async move { spent(&call) });
        read(&t, Record::Group, 1, MINUTE).await.expect("a group");
        assert_eq!(joined(&t, record).await, (Code::ResourceExhausted, "RATE_LIMITED".to_owned()), "{record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_zendesk_wants_nothing_for_a_while() {
    for record in [Record::Group, Record::User] {
        let t = Seam::new(&Config::default(), |_| async {
            let retry_after = Some(Duration::from_secs(20));
            Err(Error::Throttled(Box::new(Refusal { status: 429, retry_after, ..Refusal::default() })))
        });
        assert_eq!(joined(&t, record).await, (Code::ResourceExhausted, "RATE_LIMITED".to_owned()), "{record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_all_permits_are_taken() {
    for record in [Record::Group, Record::User] {
        let mut config = Config::default();
        config.upstream.queue.permits = 1;
        config.upstream.attempt.read_timeout = MINUTE;
        let t = Seam::new(&config, |call| async move {
            sleep(MINUTE).await;
            records(&call)
        });
        tokio::select! {
            biased; // the first has the permit
            _ = read(&t, Record::Group, 1, MINUTE) => panic!("it takes longer"),
            told = joined(&t, record) => assert_eq!(told, (Code::Unavailable, "OVERLOADED".to_owned()), "{record:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_zendesk_does_not_answer() {
    for record in [Record::Group, Record::User] {
        let mut config = Config::default();
        config.upstream.attempt.read_timeout = MINUTE;
        let t = Seam::new(&config, |call| async move {
            sleep(MINUTE).await;
            records(&call)
        });
        assert_eq!(joined(&t, record).await, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()), "{record:?}");
    }
}
