//! Answers of megabytes full of odd values: what reading one takes is bounded by its size.

use std::process::Command;
use std::time::{Duration, Instant};

use zendesk_gateway::json::{self, Malformed};
use zendesk_gateway::proto::{GetUserResponse, Group, Job, User};
use zendesk_gateway::rest::page::Page;
use zendesk_gateway::rest::row::Row;
use zendesk_gateway::upstream::rest::Owner;

use crate::support::{Dynamic, Scripted, answer, basic, refused, serve, settings};

/// Set for the process that reads one, because what a process has taken cannot be told apart by test.
const SHAPE: &str = "ZENDESK_GATEWAY_TEST_SHAPE";
/// Bytes of each body.
const SIZE: usize = 1 << 20;
/// What reading may take beside the body: this many times its size, and what any body may take.
const TIMES: usize = 8;
const ANY: usize = 16 << 20;

/// A body of so many bytes: the beginning, the part over and over, and the end.
fn body(size: usize, begin: &str, part: &str, end: &str) -> Vec<u8> {
    let times = (size - begin.len() - end.len()) / part.len();
    // The last part has no comma after it.
    let parts = part.repeat(times);
    [begin, parts.strip_suffix(',').unwrap_or(&parts), end].concat().into_bytes()
}

fn numbered(size: usize, begin: &str, part: impl Fn(usize) -> String, end: &str) -> Vec<u8> {
    let mut body = begin.to_owned();
    for at in 0.. {
        body.push_str(&part(at));
        if body.len() >= size {
            break;
        }
        body.push(',');
    }
    (body + end).into_bytes()
}

fn page<R: Row>(body: &[u8]) {
    let page = Page::<R>::read(body, Owner::Anybody);
    let is_refused = matches!(page, Err(Malformed::Incomplete { .. } | Malformed::TooMuch { .. }));
    assert!(page.is_ok() || is_refused, "{:?}", page.err());
}

/// A shape: its name, its body, and how it is read.
type Shape = (&'static str, fn(usize) -> Vec<u8>, fn(&[u8]));

fn shape(name: &'static str, body: fn(usize) -> Vec<u8>, read: fn(&[u8])) -> Shape {
    (name, body, read)
}

#[rustfmt::skip]
fn shapes() -> Vec<Shape> {
    vec![
        shape("rows without anything", |size| body(size, r#"{"users":["#, "{},", "]}"), page::<User>),
        shape("rows that are no objects", |size| body(size, r#"{"users":["#, r#"0,"",[],"#, "]}"), page::<User>),
        shape("small rows", |size| body(size, r#"{"users":[{"id":1,"role":[]},"#, r#"{"id":1},"#, "]}"), page::<User>),
        shape("small rows, each with an odd value", |size| body(size, r#"{"groups":["#, r#"{"id":1,"name":[]},"#, "]}"), page::<Group>),
        shape("rows of which each tells much", |size| body(size, r#"{"users":["#, r#"{"id":1,"agent_brand_ids":[{},{},{},{},{},{},{},{},{},{},{},{}]},"#, "]}"), page::<User>),
        shape("tags that are numbers", |size| body(size, r#"{"users":[{"id":1,"role":[],"tags":["#, "1,", "]}]}"), page::<User>),
        shape("tags that are no texts", |size| body(size, r#"{"users":[{"id":1,"tags":["#, "{},", "]}]}"), page::<User>),
        shape("ids that are none, of two kinds", |size| body(size, r#"{"users":[{"id":1,"agent_brand_ids":["#, "0,[],", "]}]}"), page::<User>),
        shape("a wide object", |size| numbered(size, r#"{"users":[{"id":1,"role":[],"user_fields":{"#, |at| format!(r#""{at:x}":1"#), "}}]}"), page::<User>),
        shape("an object with one key", |size| body(size, r#"{"users":[{"id":1,"role":[],"user_fields":{"#, r#""":0,"#, "}}]}"), page::<User>),
        shape("a list of lists", |size| body(size, r#"{"users":[{"id":1,"role":[],"user_fields":{"a":["#, "[],", "]}}]}"), page::<User>),
        shape("deep", |size| [r#"{"users":[{"id":1,"role":[],"user_fields":{"a":"#, &"[".repeat(size / 2), &"]".repeat(size / 2), "}}]}"].concat().into_bytes(), page::<User>),
        shape("deep objects that nobody wants", |size| [r#"{"users":[{"id":1,"role":[],"x":"#, &r#"{"":"#.repeat(size / 5), "0", &"}".repeat(size / 5), "}]}"].concat().into_bytes(), page::<User>),
        shape("control characters", |size| body(size, r#"{"users":[{"id":1,"name":""#, "\u{1}", r#""}]}"#), page::<User>),
        shape("halves of characters", |size| body(size, r#"{"users":[{"id":1,"name":""#, r"\ud800", r#""}]}"#), page::<User>),
        shape("keys at the top", |size| numbered(size, r#"{"users":[{}],"#, |at| format!(r#""{at:x}":[]"#), "}"), page::<User>),
        shape("results that are no objects", |size| body(size, r#"{"job_statuses":[{"id":"a","results":["#, "0,", "]}]}"), page::<Job>),
        shape("valid rows", |size| body(size, r#"{"users":["#, r#"{"id":1},"#, "]}"), page::<User>),
        shape("valid rows, and one that is none", |size| body(size, r#"{"users":[{"id":[]},"#, r#"{"id":1},"#, "]}"), page::<User>),
        shape("valid tags", |size| body(size, r#"{"users":[{"id":1,"tags":["#, r#""a","#, "]}]}"), page::<User>),
        shape("valid thumbnails", |size| body(size, r#"{"user":{"id":1,"photo":{"id":1,"thumbnails":["#, r#"{"id":1},"#, "]}}}"), |body| drop(json::decode::<GetUserResponse>(body))),
        shape("valid objects of one field", |size| body(size, r#"{"users":[{"id":1,"user_fields":{"a":["#, r#"{"":0},"#, "]}}]}"), page::<User>),
        shape("valid lists of one value", |size| body(size, r#"{"users":[{"id":1,"user_fields":{"a":["#, "[0],", "]}}]}"), page::<User>),
        shape("valid results", |size| body(size, r#"{"job_statuses":[{"id":"a","results":["#, r#"{"id":1},"#, "]}]}"), page::<Job>),
        shape("results that are lists", |size| body(size, r#"{"job_statuses":[{"id":"a","results":[["#, r#"{"":0},"#, "]]}]}"), page::<Job>),
        shape("the body of a refusal", |size| body(size, r#"{"error":["#, r#"{"":0},"#, "]}"), |body| drop(json::value(body))),
        shape("thumbnails without anything", |size| body(size, r#"{"user":{"id":1,"photo":{"id":1,"thumbnails":["#, "{},", "]}}}"), |body| drop(json::decode::<GetUserResponse>(body))),
    ]
}

fn of_this_process(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("it is stated");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// Run by [`what_reading_takes_is_bounded_by_the_size`] in processes of their own.
#[test]
#[ignore = "reads the shape that the environment names"]
fn read_one() {
    let Ok(shape) = std::env::var(SHAPE) else { return };
    let (_, make, read) = shapes().into_iter().find(|(name, ..)| *name == shape).expect("a known one");
    // The code that reads it is no part of what reading takes.
    read(&make(1 << 10));
    let body = make(SIZE);
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may forget its peak");
    let (before, began) = (of_this_process("VmRSS:"), Instant::now());
    read(&body);
    println!("took {} ms {}", began.elapsed().as_millis(), of_this_process("VmHWM:").saturating_sub(before));
}

#[test]
#[ignore = "slow"]
#[cfg_attr(not(target_os = "linux"), ignore = "the peak is read as Linux tells it")]
fn what_reading_takes_is_bounded_by_the_size() {
    for (shape, make, _) in shapes() {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", "answers::large::read_one", "--ignored", "--nocapture", "--test-threads=1"]);
        let output = child.env(SHAPE, shape).output().expect("it runs");
        let output = String::from_utf8_lossy(&output.stdout);
        let words: Vec<&str> = output.split_whitespace().skip_while(|word| *word != "took").collect();
        let [_, time, _, taken, ..] = words[..] else { panic!("{shape}: {output}") };
        let (size, taken): (usize, usize) = (make(SIZE).len(), taken.parse().expect("a number"));
        println!("{shape}: {time} ms, {} KiB, for {} KiB", taken >> 10, size >> 10);
        assert!(taken <= TIMES * size + ANY, "{shape} takes {taken} bytes");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn what_it_takes_to_read_an_answer_is_no_outage() {
    const LIMIT: Duration = Duration::from_millis(300);
    let rows = vec![r#"{"id":{},"name":[],"tags":"x"}"#; 60_000].join(",");
    let body = format!(r#"{{"users":[{rows}],"meta":{{"has_more":false}}}}"#);
    let upstream = Scripted::by(move |_| answer("200 OK\r\ncontent-type: application/json", body.as_bytes())).await;
    let mut config = settings();
    config.upstream.attempt.read_timeout = LIMIT;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), config).await;
    let began = Instant::now();
    let replies = Dynamic::new(channel).call("StreamUsers", "{}").await.expect("it is read");
    assert_eq!(replies[0]["unreadable_rows"], 60_000);
    assert!(began.elapsed() > LIMIT, "the test is to take longer: {:?}", began.elapsed());
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
#[ignore = "slow"]
async fn a_long_odd_answer_is_read_while_other_calls_are_served() {
    const ROWS: usize = 60_000;
    let rows = vec![r#"{"id":{},"name":[],"tags":"x"}"#; ROWS].join(",");
    let body = format!(r#"{{"users":[{rows}],"meta":{{"has_more":false}}}}"#);
    let upstream = Scripted::by(move |head| {
        let body = if head.contains("/users/7") { r#"{"user":{"id":7}}"# } else { &body };
        answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
    })
    .await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
    let (client, other) = (Dynamic::new(channel.clone()), Dynamic::new(channel));
    let began = Instant::now();
    let long = tokio::spawn(async move { client.call("StreamUsers", "{}").await });
    let mut longest = Duration::ZERO;
    while !long.is_finished() {
        let began = Instant::now();
        let asked = other.call_with("GetUser", r#"{"id": 7}"#, &[("cache-control", "no-cache")]).await;
        asked.expect("answered");
        longest = longest.max(began.elapsed());
    }
    let replies = long.await.expect("no panic").expect("it is read");
    assert_eq!(replies[0]["unreadable_rows"], ROWS);
    let whole = began.elapsed();
    assert!(longest < whole / 2, "one call waited {longest:?} of the {whole:?} that it took");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_long_answer_whose_values_all_fit_loses_none_of_them() {
    let options = vec![r#""an option with a name""#; 20].join(",");
    let fields: Vec<String> = (0..40).map(|at| format!(r#""field_{at}":[{options}]"#)).collect();
    let fields = fields.join(",");
    let rows: Vec<String> = (1..=100).map(|id| format!(r#"{{"id":{id},"user_fields":{{{fields}}}}}"#)).collect();
    let body = format!(r#"{{"users":[{}],"meta":{{"has_more":false}}}}"#, rows.join(","));
    assert!(body.len() > 3 << 19);
    let upstream = Scripted::by(move |_| answer("200 OK\r\ncontent-type: application/json", body.as_bytes())).await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
    let replies = Dynamic::new(channel).call("ListUsers", "{}").await.expect("it is read");
    let users = replies[0]["users"].as_array().expect("rows");
    assert_eq!(users.len(), 100);
    for user in users {
        let fields = user["user_fields"].as_object().expect("fields");
        assert!(fields.len() == 40 && fields.values().all(|field| field.as_array().is_some_and(|all| all.len() == 20)));
    }
}

#[tokio::test]
async fn a_page_of_more_rows_than_there_is_room_for_is_refused_by_name() {
    let rows = vec![r#"{"id":1}"#; 100_000].join(",");
    let body = format!(r#"{{"users":[{rows}],"meta":{{"has_more":false}}}}"#);
    let upstream = Scripted::by(move |_| answer("200 OK\r\ncontent-type: application/json", body.as_bytes())).await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
    let refused = refused(Dynamic::new(channel).call("BatchGetUsers", r#"{"ids": [1, 2]}"#).await);
    assert_eq!(refused.reason, "UPSTREAM_MALFORMED");
    assert!(
        refused.message.contains("GET /users/show_many: its rows take more than the 16777216 bytes"),
        "{}",
        refused.message
    );
    assert_eq!(upstream.asked().len(), 1, "it would be the same again");
}
