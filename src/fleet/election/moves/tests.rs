use super::super::{Event, Standing, TICK};
use super::*;

fn holder(process: &str) -> Holder {
    let part = |text: &str| text.to_owned();
    Holder { process: part(process), pod: part(process), address: part("a"), key: part("k") }
}

#[test]
fn whoever_takes_the_lease_does_so_in_a_term_above_all_that_it_has_heard_of() {
    let mut election = Election::new(holder("1"), Duration::ZERO);
    let lease = Lease { holder: None, term: 3, version: "1".to_owned() };
    let mut now = Duration::ZERO;
    let mut actions = election.step(Event::Heard(9), now);
    let taken = loop {
        match actions.pop() {
            Some(Action::Read(number)) => {
                actions.extend(election.step(Event::Read(number, Some(lease.clone())), now));
            }
            Some(Action::Write(_, taken)) => break taken,
            Some(other) => panic!("{other:?} at {now:?}"),
            None => {
                now += TICK;
                actions = election.step(Event::Tick { able: true }, now);
            }
        }
    };
    assert_eq!((taken.term, now >= UNCHANGED), (10, true), "after {now:?}");
}

#[test]
fn a_lease_that_cannot_be_written_is_asked_for_no_more_often_than_one_that_can() {
    let holders = [None, Some(Arc::new(holder("1"))), Some(Arc::new(holder("2")))];
    for (unwritten, holder_of_it) in [Unwritten::Conflict, Unwritten::Unknown]
        .into_iter()
        .flat_map(|unwritten| holders.clone().map(|holder| (unwritten, holder)))
    {
        let mut election = Election::new(holder("1"), Duration::ZERO);
        let lease = Lease { holder: holder_of_it.clone(), term: 1, version: "1".to_owned() };
        let (mut requests, mut now) = (0, Duration::ZERO);
        while now < Duration::from_mins(1) {
            let mut actions = election.step(Event::Tick { able: true }, now);
            while let Some(action) = actions.pop() {
                let event = match action {
                    Action::Read(number) => Event::Read(number, Some(lease.clone())),
                    Action::Write(number, _) => Event::Written(number, Err(unwritten)),
                    _ => continue,
                };
                requests += 1;
                let most = 10 + 3 * now.as_secs();
                assert!(requests <= most, "{requests} requests within {now:?}: {unwritten:?}, {holder_of_it:?}");
                now += Duration::from_millis(1);
                actions.extend(election.step(event, now));
            }
            now += TICK;
        }
    }
}

#[test]
fn a_lease_that_is_not_renewed_while_its_holder_answers_is_read_no_more_often() {
    let mut election = Election::new(holder("1"), Duration::ZERO);
    let lease = Lease { holder: Some(Arc::new(holder("2"))), term: 1, version: "1".to_owned() };
    let (mut reads, minute) = (0, Duration::from_mins(1));
    let mut now = Duration::ZERO;
    while now < minute {
        let mut actions = election.step(Event::Tick { able: true }, now);
        while let Some(action) = actions.pop() {
            let event = match action {
                Action::Read(number) => {
                    reads += 1;
                    assert!(reads <= 2 + now.as_secs() / READING.as_secs(), "{reads} reads within {now:?}");
                    Event::Read(number, Some(lease.clone()))
                }
                Action::Ping(..) => Event::Answered { holder: Arc::new(holder("2")), leads: Some(1), heard: 1 },
                Action::AskAround(_) => continue,
                other => panic!("{other:?} at {now:?}"),
            };
            actions.extend(election.step(event, now));
        }
        now += TICK;
    }
}

/// A leader in term 1, whose Lease has version 1.
fn leader() -> (Election, Duration) {
    let mut election = Election::new(holder("1"), Duration::ZERO);
    let (mut now, mut version) = (Duration::ZERO, 0);
    while election.leads(now).is_none() {
        now += TICK;
        let mut actions = election.step(Event::Tick { able: true }, now);
        while let Some(action) = actions.pop() {
            let event = match action {
                Action::Read(number) => Event::Read(number, Some(lease(None, 0, "0"))),
                Action::Write(number, _) => {
                    version += 1;
                    Event::Written(number, Ok(version.to_string()))
                }
                _ => continue,
            };
            actions.extend(election.step(event, now));
        }
    }
    (election, now)
}

fn lease(process: Option<&str>, term: u64, version: &str) -> Lease {
    Lease { holder: process.map(|process| Arc::new(holder(process))), term, version: version.to_owned() }
}

#[test]
fn a_leader_goes_on_as_soon_as_it_has_read_that_it_still_holds_the_lease() {
    let (mut election, mut now) = leader();
    for _ in 0..5 {
        // Each write is refused, as if another had written in between.
        let write = loop {
            now += TICK;
            let actions = election.step(Event::Tick { able: true }, now);
            if let Some(Action::Write(number, _)) = actions.last() {
                break *number;
            }
        };
        let actions = election.step(Event::Written(write, Err(Unwritten::Conflict)), now);
        assert_eq!(election.leads(now), None, "another may have it");
        let Some(Action::Read(read)) = actions.last() else { panic!("it is read at once: {actions:?}") };
        now += Duration::from_millis(1);
        election.step(Event::Read(*read, Some(lease(Some("1"), 1, "touched"))), now);
        assert_eq!(election.leads(now), Some(1));
    }
}

/// Others have heard for a while that it does not lead, and may be about to take a Lease that they find idle. A write is in their way,
/// a read is not.
#[test]
fn a_leader_that_was_in_doubt_for_long_leads_again_once_it_has_written() {
    let (mut election, mut now) = leader();
    let (mut doubted, mut has_read) = (None, false);
    for _ in 0..60 {
        now += TICK;
        let mut actions = election.step(Event::Tick { able: true }, now);
        while let Some(action) = actions.pop() {
            let is_late = doubted.is_some_and(|doubted| now > doubted + GAP);
            let event = match action {
                Action::Read(number) => Event::Read(number, is_late.then(|| lease(Some("1"), 1, "touched"))),
                Action::Write(number, _) if doubted.is_none() => {
                    doubted = Some(now);
                    Event::Written(number, Err(Unwritten::Conflict))
                }
                Action::Write(number, _) => Event::Written(number, Ok("2".to_owned())),
                _ => continue,
            };
            let (read, written) = (matches!(event, Event::Read(_, Some(_))), matches!(event, Event::Written(_, Ok(_))));
            actions.extend(election.step(event, now));
            has_read |= read;
            assert!(!read || election.leads(now).is_none(), "it may have been taken since");
            if written {
                assert!(has_read);
                assert_eq!(election.leads(now), Some(1));
                return;
            }
        }
    }
    panic!("it writes the Lease");
}

#[test]
fn a_term_that_somebody_has_made_up_is_not_believed_and_written_over() {
    for term in [u64::MAX, 1 << 31, 1_999_999_999] {
        let (mut election, mut now) = leader();
        election.step(Event::Heard(term), now);
        assert_eq!((election.leads(now), election.heard()), (Some(1), 1), "{term}");
        let mut written = None;
        while written.is_none() {
            now += TICK;
            let mut actions = election.step(Event::Tick { able: true }, now);
            while let Some(action) = actions.pop() {
                let event = match action {
                    Action::Read(number) => Event::Read(number, Some(lease(Some("1"), term, "made up"))),
                    Action::Write(number, lease) if lease.version == "made up" => {
                        written = Some(lease.term);
                        Event::Written(number, Ok("2".to_owned()))
                    }
                    Action::Write(number, _) => Event::Written(number, Err(Unwritten::Conflict)),
                    _ => continue,
                };
                actions.extend(election.step(event, now));
            }
        }
        assert_eq!((written, election.leads(now)), (Some(2), Some(2)), "{term}");
    }
}

#[test]
fn a_leader_that_cannot_read_the_lease_follows_whoever_leads_in_a_higher_term() {
    let (mut election, mut now) = leader();
    let other = Arc::new(holder("2"));
    let mut asked_around = 0;
    for _ in 0..40 {
        now += TICK;
        let actions = election.step(Event::Tick { able: true }, now);
        asked_around += actions.iter().filter(|action| matches!(action, Action::AskAround(_))).count();
    }
    assert!(asked_around >= 10, "{asked_around}");
    assert_eq!(election.leads(now), Some(1), "as long as nobody says otherwise");
    election.step(Event::Answered { holder: Arc::clone(&other), leads: None, heard: 1 }, now);
    assert_eq!(election.leads(now), Some(1));
    let actions = election.step(Event::Answered { holder: Arc::clone(&other), leads: Some(2), heard: 2 }, now);
    assert!(actions.contains(&Action::Follow));
    assert_eq!(election.standing(now), Standing::Forwards(other, 2));
}
