//! What a write does to what is cached and to what is on its way.

use super::*;

fn fill(cache: &Cache, id: i64, text: &'static str, since: &Snapshot) {
    cache.fill(&key(id), &record(id), &Bytes::from_static(text.as_bytes()), since);
}

fn held(cache: &Cache, id: i64) -> Option<Bytes> {
    cache.get_fresh(&key(id)).map(|hit| hit.expect("an answer").bytes)
}

/// A cache that holds "old" for each of these records.
fn holding(ids: &[i64]) -> Cache {
    let cache = cache();
    for id in ids {
        fill(&cache, *id, "old", &cache.snapshot());
        assert!(held(&cache, *id).is_some());
    }
    cache
}

#[tokio::test(start_paused = true)]
async fn a_write_makes_what_it_names_void_and_nothing_else() {
    let cache = holding(&[7, 8]);
    let write = cache.begin_write(&[tag::user(7), tag::users()]);
    assert_eq!(held(&cache, 7), None, "void before it is sent");
    write.finish();
    assert_eq!(held(&cache, 7), None);
    assert!(held(&cache, 8).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_overlaps_a_write_in_any_way_is_not_stored() {
    for (begins, ends) in [("before", "during"), ("before", "after"), ("during", "during"), ("during", "after")] {
        let cache = cache();
        let before = cache.snapshot();
        let write = cache.begin_write(&[tag::user(7)]);
        let during = cache.snapshot();
        let since = if begins == "before" { &before } else { &during };
        if ends == "during" {
            fill(&cache, 7, "old", since);
            assert_eq!(held(&cache, 7), None, "{begins} to {ends}");
        }
        write.finish();
        if ends == "after" {
            fill(&cache, 7, "old", since);
        }
        assert_eq!(held(&cache, 7), None, "{begins} to {ends}");
        assert_eq!(cache.counts().dropped_fills, 1);
        fill(&cache, 7, "new", &cache.snapshot());
        assert_eq!(held(&cache, 7).expect("stored"), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_after_a_write_does_not_board_a_flight_from_before_it() {
    let (cache, upstream) = (cache(), Upstream::default());
    let early = read(&cache, upstream.answers(ms(300), Ok("old")));
    let late = async {
        sleep(ms(100)).await;
        cache.begin_write(&[tag::user(7)]).finish();
        read(&cache, upstream.answers(ms(300), Ok("new"))).await
    };
    let later = async {
        sleep(ms(150)).await;
        read(&cache, upstream.answers(ms(300), Ok("unused"))).await
    };
    let (early, late, later) = tokio::join!(early, late, later);
    assert_answer(early, "old", CacheStatus::Miss, ms(300));
    assert_answer(late, "new", CacheStatus::Miss, ms(300));
    assert_answer(later, "new", CacheStatus::Coalesced, ms(300));
    assert_eq!(held(&cache, 7).expect("stored"), "new");
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_that_a_write_made_void_stands_in_for_no_error() {
    let (cache, upstream) = (cache(), Upstream::default());
    fill(&cache, 7, "old", &cache.snapshot());
    advance(secs(100)).await;
    let reader = read(&cache, upstream.answers(ms(300), Err(unavailable())));
    let writer = async {
        sleep(ms(100)).await;
        cache.begin_write(&[tag::user(7)]).finish();
    };
    let (answer, ()) = tokio::join!(reader, writer);
    assert!(answer.is_err(), "{answer:?}");
    let hung = cache.read(&key(7), &record(7), PLAIN, within(secs(1)), upstream.hangs()).await;
    assert!(matches!(hung, Err(Error::Deadline { .. })), "{hung:?}");
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_write_is_stored_if_no_other_write_was_inside() {
    let cache = holding(&[7]);
    let since = cache.begin_write(&[tag::user(7), tag::users()]).finish();
    fill(&cache, 7, "written", &since);
    assert_eq!(held(&cache, 7).expect("stored"), "written");

    // Whichever ends last, its answer may be the older of the two.
    let (one, two) = (cache.begin_write(&[tag::user(7)]), cache.begin_write(&[tag::user(7)]));
    let one = one.finish();
    fill(&cache, 7, "one", &one);
    assert_eq!(held(&cache, 7), None);
    let two = two.finish();
    fill(&cache, 7, "two", &two);
    fill(&cache, 7, "one", &one);
    assert_eq!(held(&cache, 7), None);

    // Nor is an answer stored after the next write has begun.
    let one = cache.begin_write(&[tag::user(7)]).finish();
    let two = cache.begin_write(&[tag::user(7)]);
    fill(&cache, 7, "one", &one);
    assert_eq!(held(&cache, 7), None);
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_write_is_judged_by_tags_that_the_write_did_not_name_too() {
    let cache = cache();
    let write = cache.begin_write(&[tag::user(7)]);
    cache.begin_write(&[tag::group(1)]).finish();
    let since = write.finish();
    let policy = record(7).and(tag::group(1));
    cache.fill(&key(7), &policy, &Bytes::from_static(b"old group"), &since);
    assert_eq!(held(&cache, 7), None);
    cache.fill(&key(7), &record(7).and(tag::group(2)), &Bytes::from_static(b"new"), &since);
    assert_eq!(held(&cache, 7).expect("stored"), "new");
}

#[tokio::test(start_paused = true)]
async fn a_write_names_what_only_its_answer_could_tell() {
    let cache = holding(&[7]);
    let mut write = cache.begin_write(&[tag::users()]);
    assert!(held(&cache, 7).is_some());
    write.add_tag(tag::user(7));
    write.add_tag(tag::user(7));
    let since = write.finish();
    assert_eq!(held(&cache, 7), None);
    fill(&cache, 7, "written", &since);
    assert_eq!(held(&cache, 7).expect("stored"), "written");

    // A write to the record that came in between makes the answer doubtful.
    let mut write = cache.begin_write(&[tag::users()]);
    cache.begin_write(&[tag::user(7)]).finish();
    write.add_tag(tag::user(7));
    let since = write.finish();
    fill(&cache, 7, "doubtful", &since);
    assert_eq!(held(&cache, 7), None);
}

#[tokio::test(start_paused = true)]
async fn writes_to_two_records_do_not_make_each_others_answers_doubtful() {
    let cache = cache();
    let one = cache.begin_write(&[tag::user(7), tag::users()]);
    let two = cache.begin_write(&[tag::user(8), tag::users()]);
    let (one, two) = (one.finish(), two.finish());
    fill(&cache, 7, "seven", &one);
    fill(&cache, 8, "eight", &two);
    assert_eq!((held(&cache, 7).expect("stored"), held(&cache, 8).expect("stored")), ("seven".into(), "eight".into()));
    cache.fill(&key(9), &record(9).and(tag::users()), &Bytes::from_static(b"a list"), &two);
    assert_eq!(held(&cache, 9), None, "both were inside the list");
}

#[tokio::test(start_paused = true)]
async fn a_write_with_unknown_outcome_leaves_its_tags_unsettled() {
    let cache = holding(&[7, 8]);
    drop(cache.begin_write(&[tag::user(7)]));
    fill(&cache, 7, "before it landed", &cache.snapshot());
    assert_eq!(held(&cache, 7), None);
    assert!(held(&cache, 8).is_some());
    advance(secs(10)).await;
    fill(&cache, 7, "settled", &cache.snapshot());
    assert!(held(&cache, 7).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_write_with_unknown_outcome_voids_what_it_may_have_changed_and_may_land_late() {
    let cache = holding(&[7, 8]);
    let mut write = cache.begin_write(&[tag::user(7)]);
    write.add_tag_if_unknown(tag::every_user());
    assert!(held(&cache, 8).is_some());
    drop(write);
    assert_eq!((held(&cache, 7), held(&cache, 8)), (None, None));
    fill(&cache, 7, "before it landed", &cache.snapshot());
    let early = cache.snapshot();
    assert_eq!(held(&cache, 7), None);
    advance(secs(10)).await;
    fill(&cache, 7, "before it landed", &early);
    assert_eq!(held(&cache, 7), None, "the fetch began before the write had settled");
    fill(&cache, 7, "settled", &cache.snapshot());
    assert_eq!(held(&cache, 7).expect("stored"), "settled");

    let mut write = cache.begin_write(&[tag::user(7)]);
    write.add_tag_if_unknown(tag::every_user());
    write.finish();
    fill(&cache, 8, "eight", &cache.snapshot());
    assert!(held(&cache, 8).is_some(), "a known outcome moves no more than it must");
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_voids_what_is_stored_and_what_is_on_its_way() {
    let invalidations: [fn(&Cache); 3] =
        [|cache| cache.invalidate(tag::user(7)), |cache| cache.invalidate(tag::every_user()), Cache::invalidate_all];
    for (number, invalidate) in invalidations.into_iter().enumerate() {
        let cache = holding(&[7, 8]);
        let before = cache.snapshot();
        invalidate(&cache);
        fill(&cache, 7, "old", &before);
        assert_eq!(held(&cache, 7), None);
        assert_eq!(cache.counts().dropped_fills, 1);
        assert_eq!(held(&cache, 8).is_some(), number == 0);
        fill(&cache, 7, "new", &cache.snapshot());
        assert_eq!(held(&cache, 7).expect("stored"), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_of_a_list_does_not_replace_an_answer_that_was_asked_for_later() {
    let cache = cache();
    let list = cache.snapshot();
    advance(secs(1)).await;
    fill(&cache, 7, "newer", &cache.snapshot());
    fill(&cache, 7, "older", &list);
    assert_eq!(held(&cache, 7).expect("stored"), "newer");
}
