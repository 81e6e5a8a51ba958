//! How far back it looks.

use super::*;

fn totals(calls: u64, errors: &[(&'static str, u64)]) -> Totals {
    let kind = |reason| Kind { reason, code: "INTERNAL", method: "m" };
    let errors = errors.iter().map(|(reason, count)| (kind(*reason), *count)).collect();
    Totals { errors, calls, ..Totals::default() }
}

#[test]
fn where_calls_are_rare_and_none_succeeds_it_looks_as_far_back_as_the_last_few() {
    // Each two minutes a call is refused, and once one succeeds.
    let told = |minutes: u64, succeeds: Option<u64>| {
        let (began, mut recorder) = (Instant::now(), Recorder::default());
        let mut last = (0, Duration::ZERO);
        for second in 0..=minutes * 60 {
            let now = began + Duration::from_secs(second);
            let calls = second / 120;
            let well = u64::from(succeeds.is_some_and(|call| calls >= call));
            let totals = totals(calls, &[("ACCESS_REFUSED", calls - well)]);
            recorder.forget(now);
            last = recorder
                .since(&totals, now)
                .map_or((0, Duration::ZERO), |(then, before)| (totals.calls - before.calls, now.duration_since(*then)));
            recorder.kept.push_back((now, totals));
        }
        assert!(recorder.older.len() <= 30, "{} are kept", recorder.older.len());
        last
    };
    assert!(told(8, None).0 < 5, "too few to tell a share of");
    let (calls, over) = told(14, None);
    assert!(calls == 5 && over > Duration::from_mins(8) && over < Duration::from_mins(11), "{calls} in {over:?}");
    let (calls, over) = told(60, None);
    assert!(calls == 5 && over < Duration::from_mins(11), "{calls} in {over:?}");
    let (calls, over) = told(60, Some(28));
    assert!(calls < 5 && over <= Duration::from_mins(5), "one has succeeded: {calls} in {over:?}");
}

#[test]
fn what_another_credential_mends_is_over_soon_even_if_nobody_calls() {
    let (began, mut recorder) = (Instant::now(), Recorder::default());
    let of = |second: u64| Totals {
        credentials: u64::from(second >= 100),
        ..totals(second.min(90), &[("CREDENTIAL_REFUSED", second.min(90))])
    };
    for second in 0..200 {
        let now = began + Duration::from_secs(second);
        recorder.forget(now);
        recorder.kept.push_back((now, of(second)));
    }
    let (_, then) = recorder.since(&of(200), began + Duration::from_secs(200)).expect("it has begun");
    assert_eq!(of(200).refused() - then.refused(), 0);
    let (_, then) = recorder.since(&of(99), began + Duration::from_secs(99)).expect("it has begun");
    assert_eq!(of(99).refused() - then.refused(), 90, "till then all are told");
}

#[test]
fn that_there_is_no_such_record_is_a_success() {
    assert_eq!(totals(5, &[("NOT_FOUND", 3), ("UPSTREAM_ERROR", 1)]).well(), 4);
}

#[test]
fn a_refused_credential_is_told_until_a_call_succeeds_or_another_one_is_taken() {
    let began = Instant::now();
    let minutes = |number| Duration::from_mins(number);
    // Three calls have succeeded, and since then each ten minutes one is refused.
    let refused = |calls: u64| totals(3 + calls, &[("CREDENTIAL_REFUSED", calls)]);
    let told = || {
        let mut told = Refused::default();
        told.update(&refused(0), began);
        for minute in 0..=40 {
            told.update(&refused(1 + minute / 10), began + minutes(minute));
            assert_eq!(told.read(began + minutes(minute)), Some((1 + minute / 10, minutes(minute))));
        }
        told
    };
    assert_eq!(told().read(began + minutes(70)), None, "nobody has called for half an hour");
    for mended in [Totals { calls: 9, ..refused(5) }, Totals { credentials: 1, ..refused(5) }] {
        let mut told = told();
        told.update(&mended, began + minutes(41));
        assert_eq!(told.read(began + minutes(41)), None);
        let again = Totals { calls: mended.calls + 1, ..totals(0, &[("CREDENTIAL_REFUSED", 6)]) };
        told.update(&Totals { credentials: mended.credentials, ..again }, began + minutes(42));
        assert_eq!(told.read(began + minutes(42)), Some((1, Duration::ZERO)));
    }
}
