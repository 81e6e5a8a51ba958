//! Every fault against every class of call: what the caller sees, and how often Zendesk was asked.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::Code;
use zendesk_gateway::proto::{
    CreateGroupRequest, GetGroupRequest, GroupInput, ListGroupsRequest, UpdateUserRequest, UserInput,
};
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::sandbox::faults::{
    BrokenGzip, Conflict, Empty, Eof, GzipBomb, Hang, Html, Reset, Respond, Throttle, TruncatedJson, any,
};

use crate::support::{Refused, TestGateway, account, refused, settings};

/// A fault, and for a read, a list, an idempotent write and an unsafe write: code, reason, attempts.
struct Row(&'static str, fn(&Sandbox), [(Code, &'static str, usize); 4]);

#[rustfmt::skip]
fn table(http2: bool) -> Vec<Row> {
    macro_rules! rule { ($rule:expr) => { |sandbox| { sandbox.fault(any("*"), $rule.forever()); } } }
    const U: Code = Code::Unavailable;
    const D: Code = Code::DeadlineExceeded;
    const UNKNOWN: &str = "OUTCOME_UNKNOWN";
    // It may have been done: reads and idempotent writes are repeated, an unsafe write never is.
    let maybe = |code, reason| [(code, reason, 3), (code, reason, 3), (code, UNKNOWN, 3), (code, UNKNOWN, 1)];
    // It was probably done: a read is repeated once.
    let broken = |code, reason| [(code, reason, 2), (code, reason, 2), (U, UNKNOWN, 1), (U, UNKNOWN, 1)];
    // It may have been done, and says nothing of whether the next one would be.
    let unsaid = |code, reason| [(code, reason, 1), (code, reason, 1), (U, UNKNOWN, 1), (U, UNKNOWN, 1)];
    // The same call would fail the same way.
    let same = |code, reason| [(code, reason, 1); 4];
    // Over HTTP/2 a head comes whole, and what breaks is the body.
    let headless = if http2 { broken } else { maybe }(U, "UPSTREAM_UNAVAILABLE");
    let gone = (Code::NotFound, "NOT_FOUND", 1);
    let nowhere = (Code::Internal, "ACCOUNT_NOT_FOUND", 1);
    vec![
        Row("reset before headers", rule!(Reset::before_headers()), maybe(U, "UPSTREAM_UNAVAILABLE")),
        Row("end before headers",   rule!(Eof::before_headers()),   maybe(U, "UPSTREAM_UNAVAILABLE")),
        Row("reset within headers", rule!(Reset::within_headers()), headless),
        Row("end within headers",   rule!(Eof::within_headers()),   headless),
        Row("reset within body",    rule!(Reset::within_body()),    broken(U, "UPSTREAM_UNAVAILABLE")),
        Row("end within body",      rule!(Eof::within_body()),      broken(U, "UPSTREAM_UNAVAILABLE")),
        Row("broken gzip",          rule!(BrokenGzip::once()),   broken(U, "UPSTREAM_UNAVAILABLE")),
        Row("truncated JSON",       rule!(TruncatedJson::once()), broken(Code::Internal, "UPSTREAM_MALFORMED")),
        Row("an HTML page with 200", rule!(Html::ok()),             broken(Code::Internal, "UPSTREAM_MALFORMED")),
        Row("an empty 200",         rule!(Empty::once()),        broken(Code::Internal, "UPSTREAM_MALFORMED")),
        Row("a gzip bomb",          rule!(GzipBomb::of(64)),        [(Code::Internal, "BODY_TOO_LARGE", 1), (Code::Internal, "BODY_TOO_LARGE", 1), (U, UNKNOWN, 1), (U, UNKNOWN, 1)]),
        Row("500",                  rule!(Respond::with(500)),      broken(Code::Internal, "UPSTREAM_ERROR")),
        Row("502 of nginx",         rule!(Html::nginx_502()),       maybe(U, "UPSTREAM_UNAVAILABLE")),
        Row("503",                  rule!(Respond::with(503)),      maybe(U, "UPSTREAM_UNAVAILABLE")),
        Row("504",                  rule!(Respond::with(504)),      maybe(D, "UPSTREAM_TIMEOUT")),
        Row("520 of Cloudflare",    rule!(Html::cloudflare_520()),  maybe(U, "UPSTREAM_UNAVAILABLE")),
        Row("524 of Cloudflare",    rule!(Html::cloudflare_524()),  maybe(D, "UPSTREAM_TIMEOUT")),
        Row("no answer",            rule!(Hang::before_headers()),  maybe(D, "UPSTREAM_TIMEOUT")),
        Row("an answer that stops", rule!(Hang::within_body()),     maybe(D, "UPSTREAM_TIMEOUT")),
        Row("400",                  rule!(Respond::with(400)),      same(Code::InvalidArgument, "RECORD_INVALID")),
        Row("401",                  rule!(Respond::with(401)),      same(Code::Internal, "CREDENTIAL_REFUSED")),
        Row("403",                  rule!(Respond::with(403)),      same(Code::PermissionDenied, "PERMISSION_DENIED")),
        Row("404",                  rule!(Respond::with(404)),      [gone, nowhere, gone, nowhere]), // about a record only where the path names one
        Row("402, and other 4xx",   rule!(Respond::with(402)),      same(Code::FailedPrecondition, "UPSTREAM_REFUSED")),
        Row("307, not followed",    rule!(Respond::with(307)),      same(Code::FailedPrecondition, "UPSTREAM_REFUSED")),
        Row("499",                  rule!(Respond::with(499)),      unsaid(Code::Unavailable, "UPSTREAM_ERROR")),
        Row("409 as text",          rule!(Conflict::once()),     same(Code::Aborted, "CONFLICT")),
        Row("422",                  rule!(Respond::with(422)),      same(Code::InvalidArgument, "RECORD_INVALID")),
        Row("429 for long",         rule!(Throttle::once().retry_after(250)), same(Code::ResourceExhausted, "RATE_LIMITED")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn every_fault_against_every_class_has_its_code_and_its_attempts() {
    let mut config = settings();
    config.upstream.retry.first_backoff = Duration::from_millis(1);
    config.upstream.retry.longest_backoff = Duration::from_millis(1);
    let mut impatient = config.clone();
    impatient.upstream.attempt.read_timeout = Duration::from_millis(400);
    impatient.upstream.attempt.write_timeout = Duration::from_millis(400);
    let mut wrong = Vec::new();
    let over_both =
        table(false).into_iter().map(|row| (false, row)).chain(table(true).into_iter().map(|row| (true, row)));
    for (http2, Row(fault, rule, expected)) in over_both {
        let mute = matches!(fault, "no answer" | "an answer that stops");
        let mut account = account();
        account.wire.tls = http2;
        // Only where no answer comes an attempt is cut short: a slow machine must not cut others.
        let config = if mute { &impatient } else { &config };
        let classes = ["read", "list", "idempotent write", "unsafe write"];
        // A gateway for each: a breaker that one row opened must not answer the next.
        let seen = classes.map(|class| {
            let (account, config) = (account.clone(), config.clone());
            async move {
                let t = TestGateway::configured(account, config).await;
                rule(&t.sandbox);
                let seen = call(&t, class).await;
                (seen, usize::try_from(t.sandbox.total_hits()).expect("few"))
            }
        });
        let seen = join_all(seen).await;
        for ((class, (code, reason, attempts)), (seen, asked)) in classes.into_iter().zip(expected).zip(seen) {
            if (seen.code, seen.reason.as_str(), asked) != (code, reason, attempts) {
                wrong.push(format!(
                    "{fault} × {class}, over HTTP/2 {http2}: {:?} {} after {asked}, expected {code:?} {reason} after {attempts}: {}",
                    seen.code, seen.reason, seen.message
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn call(t: &TestGateway, class: &str) -> Refused {
    let held = t.held_memberships()[0].clone();
    match class {
        "read" => refused(t.groups().get_group(GetGroupRequest { id: held.group_id, ..Default::default() }).await),
        "list" => refused(t.groups().list_groups(ListGroupsRequest::default()).await),
        "idempotent write" => {
            let user = Some(UserInput { alias: Some("a".to_owned()), ..Default::default() });
            refused(
                t.users()
                    .update_user(UpdateUserRequest { id: held.user_id, user, update_mask: None, ..Default::default() })
                    .await,
            )
        }
        _ => {
            let group = Some(GroupInput { name: Some("G".to_owned()), ..Default::default() });
            refused(t.groups().create_group(CreateGroupRequest { group }).await)
        }
    }
}
