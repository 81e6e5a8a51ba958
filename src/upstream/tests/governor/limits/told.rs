//! Whose limit a response states, and how long everybody is told to wait.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_bucket_of_user_updates_is_never_an_endpoints_budget() {
    let left_to_zendesk = || config::Rate { updates_per_user: 0, update_spacing: Duration::ZERO, ..defaults() };
    let account = || Some(window(700, 600, 40));
    for (settings, name) in [
        (defaults(), "create-update-user"),
        (left_to_zendesk(), "create-update-user"),
        (left_to_zendesk(), "update-user"),
        (left_to_zendesk(), "another-name"),
    ] {
        let hits = Hits::default();
        let (service, governor) = governed(
            &settings,
            zendesk(&hits, move |_, call: Call| {
                // Zendesk counts for each user, and states it under one name.
                let left = if call.rest.updated_user == Some(UserKey::Id(7)) { 0 } else { 4 };
                let limits = stated(account(), &[(name, window(5, left, 55))]);
                async move { Ok(Answer { limits, ..answer() }) }
            }),
        );
        ask(&service, update(7)).await.expect("the fifth, as the headers say");
        let error = ask(&service, within(SECOND * 5, update(7))).await.expect_err("the sixth");
        assert!(matches!(error, Error::BudgetSpent { limit: Limit::UserUpdates, .. }), "{name}: {error:?}");
        for user in 8..20 {
            ask(&service, within(SECOND * 5, update(user))).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        assert!(governor.snapshot().buckets.is_empty(), "{name}");
    }
    // The answer to a creation states it, too, and then nobody knows whose updates are meant.
    let (service, governor) = governed(
        &defaults(),
        zendesk(&Hits::default(), move |_, _| async move {
            Ok(Answer { limits: stated(account(), &[("create-update-user", window(5, 0, 55))]), ..answer() })
        }),
    );
    for _ in 0..3 {
        ask(&service, within(SECOND, unsafe_write())).await.expect("creations go on");
    }
    assert!(governor.snapshot().buckets.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_429_about_updates_of_a_user_closes_those_and_says_so() {
    for (settings, limit, wanted) in [
        (defaults(), 5, Limit::UserUpdates),
        (config::Rate { updates_per_user: 0, update_spacing: Duration::ZERO, ..defaults() }, 5, Limit::UserUpdates),
        (config::Rate { updates_per_user: 0, update_spacing: Duration::ZERO, ..defaults() }, 1, Limit::Updates),
    ] {
        for account in [Some(window(700, 600, 40)), None] {
            let (service, _) = governed(
                &settings,
                zendesk(&Hits::default(), move |number, _| async move {
                    let limits = stated(account, &[("create-update-user", window(limit, 0, 20))]);
                    if number == 1 { Err(throttled(20, limits)) } else { Ok(answer()) }
                }),
            );
            let error = ask(&service, update(7)).await.expect_err("429");
            assert_eq!(error.limit(), Some(wanted), "{account:?}");
            ask(&service, within(SECOND, update(7))).await.expect_err("this user is kept back");
            ask(&service, within(SECOND * 5, update(8))).await.expect("and no other");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_a_wait_that_is_longer_than_the_gateway_obeys() {
    const DAY: u64 = 24 * 60 * 60;
    let account = Some(window(700, 600, 40));
    for (call, limits) in [
        (groups as fn() -> Call, Limits::default()),
        (groups, stated(account, &[])),
        (groups, stated(account, &[("groups-index", window(100, 0, 60))])),
        (|| update(7), stated(account, &[])),
    ] {
        let told = limits.clone();
        let (service, _) = governed(
            &defaults(),
            zendesk(&Hits::default(), move |number, _| {
                let limits = limits.clone();
                async move { if number == 1 { Err(throttled(DAY, limits)) } else { Ok(answer()) } }
            }),
        );
        ask(&service, call()).await.expect_err("429");
        sleep(SECOND * 10).await;
        for _ in 0..3 {
            let error = ask(&service, call()).await.expect_err("closed");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(DAY - 10)), "{told:?}: {error:?}");
        }
        sleep(Duration::from_mins(5)).await;
        ask(&service, call()).await.expect("Zendesk is asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_that_hang_over_the_end_of_a_window_keep_nobody_from_reading() {
    for (writes, limits) in
        [(14, stated(Some(window(700, 600, 2)), &[])), (40, stated(Some(window(700, 600, 60)), &[]))]
    {
        let hits = Hits::default();
        let (service, governor) = governed(
            &defaults(),
            zendesk(&hits, move |_, call: Call| {
                let limits = limits.clone();
                async move {
                    if call.priority == Priority::Write {
                        std::future::pending::<()>().await;
                    }
                    Ok(Answer { limits, ..answer() })
                }
            }),
        );
        ask(&service, groups()).await.expect("the window is learnt");
        // Each goes on when its caller has left, as a write does that was sent.
        let hanging: Vec<_> = (0..writes)
            .map(|_| {
                let service = service.clone();
                tokio::spawn(async move { ask(&service, unsafe_write()).await })
            })
            .collect();
        sleep(SECOND * 15).await;
        assert!(governor.snapshot().account.expect("stated").in_flight >= 14);
        for _ in 0..20 {
            let began = Instant::now();
            ask(&service, within(SECOND * 2, groups())).await.expect("answered");
            assert!(began.elapsed() < SECOND, "{writes}: {:?}", began.elapsed());
            sleep(millis(500)).await;
        }
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_answered_that_is_the_reason_and_not_the_budget() {
    for limits in [None, Some(stated(Some(window(700, 600, 2)), &[])), Some(stated(Some(window(700, 600, 60)), &[]))] {
        let hits = Hits::default();
        let (service, governor) = governed(
            &defaults(),
            zendesk(&hits, {
                let limits = limits.clone();
                move |number, _| {
                    let limits = limits.clone().filter(|_| number == 1);
                    async move {
                        let Some(limits) = limits else { return std::future::pending().await };
                        Ok(Answer { limits, ..answer() })
                    }
                }
            }),
        );
        if limits.is_some() {
            ask(&service, groups()).await.expect("the window is learnt");
        }
        sleep(SECOND * 12).await;
        let mut calls = JoinSet::new();
        for _ in 0..200 {
            let service = service.clone();
            calls.spawn(async move { ask(&service, within(SECOND, groups())).await.expect_err("nothing is answered") });
        }
        sleep(SECOND * 2).await;
        // Those that were sent hang, and end by other parts of the stack.
        let mut refused = Vec::new();
        while let Some(error) = calls.try_join_next() {
            refused.push(error.expect("no panic"));
        }
        assert!(refused.len() > 150, "{}", refused.len());
        for error in refused {
            assert!(matches!(error, Error::Unanswered), "{error:?} with {limits:?}");
            assert!(error.retry_after().is_some_and(|wait| wait >= SECOND), "{error:?}");
        }
        assert!(hits.get() < 30, "few more go, to find out: {}", hits.get());
        assert_eq!(governor.snapshot().waiting, 0);
    }
}
