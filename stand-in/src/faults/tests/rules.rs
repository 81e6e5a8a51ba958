//! When a fault's rule acts.

use super::*;

/// Returns which of `count` GET requests for `target` would meet a fault.
fn struck(faults: &Faults, target: &str, count: usize) -> Vec<bool> {
    let uri = target.parse().expect("a target");
    (0..count).map(|_| faults.pick_for(Version::HTTP_11, &Method::GET, &uri).is_some()).collect()
}

fn strikes(when: Matcher, method: &Method, target: &str) -> bool {
    let faults = Faults::default();
    faults.add(Empty::once().when(when));
    let uri = target.parse().expect("a target");
    faults.pick_for(Version::HTTP_11, method, &uri).is_some()
}

#[test]
fn a_matcher_looks_at_method_path_and_query() {
    let rows = [
        (get("/users/7"), Method::GET, "/api/v2/users/7", true),
        (get("/users/7"), Method::GET, "/api/v2/users/7.json", true),
        (get("/users/7.json"), Method::GET, "/api/v2/users/7", true),
        (get("/users/7"), Method::PUT, "/api/v2/users/7", false),
        (get("/users/7"), Method::GET, "/api/v2/users/77", false),
        (put("/users/7"), Method::PUT, "/api/v2/users/7", true),
        (delete("/users/7"), Method::DELETE, "/api/v2/users/7", true),
        (any("/users/7"), Method::PATCH, "/api/v2/users/7", true),
        (get("/users/{id}"), Method::GET, "/api/v2/users/7", true),
        (get("/users/{id}"), Method::GET, "/api/v2/users/show_many", false),
        (get("/users/{id}"), Method::GET, "/api/v2/users/7/groups", false),
        (get("/job_statuses/{id}"), Method::GET, "/api/v2/job_statuses/V3-0a", true),
        (get("/users/{id}/groups"), Method::GET, "/api/v2/users/7/groups", true),
        (get("/users*"), Method::GET, "/api/v2/users/7/groups", true),
        (any("*"), Method::GET, "/anything", true),
        (get("/users").with_query("page[after]"), Method::GET, "/api/v2/users?page%5Bafter%5D=x", true),
        (get("/users").with_query("page[after]"), Method::GET, "/api/v2/users", false),
    ];
    for (when, method, target, expected) in rows {
        let seen = strikes(when.clone(), &method, target);
        assert_eq!(seen, expected, "{when:?} and {method} {target}");
    }
}

#[test]
fn a_rule_acts_as_often_as_it_says_and_not_before() {
    let faults = Faults::default();
    let rule = faults.add(Empty::times(2).after(1).when(get("/users/7")));
    assert_eq!(struck(&faults, "/api/v2/users/7", 5), [false, true, true, false, false]);
    let status = &faults.list()[0];
    assert_eq!((status.id, status.matched, status.hits, status.left), (rule, 3, 2, Some(0)));
}

#[test]
fn a_rule_without_end_goes_on() {
    let faults = Faults::default();
    faults.add(Empty::forever());
    assert_eq!(struck(&faults, "/", 100), [true; 100]);
    assert_eq!(faults.list()[0].left, None);
}

#[test]
fn the_first_live_rule_that_matches_acts() {
    let faults = Faults::default();
    let first = faults.add(Empty::once().when(get("/users/7")));
    let second = faults.add(Conflict::forever().when(get("/users*")));
    let uri = "/api/v2/users/7".parse().expect("a target");
    let chosen = || faults.pick_for(Version::HTTP_11, &Method::GET, &uri).map(|(id, _)| id);
    assert_eq!([chosen(), chosen()], [Some(first), Some(second)]);
    assert!(faults.remove(second) && !faults.remove(second));
    assert_eq!(faults.pick_for(Version::HTTP_11, &Method::GET, &uri).map(|(id, _)| id), None);
}

#[test]
fn a_probability_strikes_its_share_and_a_seed_repeats_it() {
    let run = |seed| {
        let faults = Faults::default();
        faults.add(Empty::forever().with_probability(0.3).seed(seed));
        struck(&faults, "/", 1000)
    };
    let strikes = run(1).into_iter().filter(|struck| *struck).count();
    assert!((250..350).contains(&strikes), "{strikes} of 1000");
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn requests_that_the_dice_spare_do_not_use_a_rule_up() {
    let faults = Faults::default();
    faults.add(Empty::times(3).with_probability(0.5));
    let strikes = struck(&faults, "/", 100).into_iter().filter(|struck| *struck);
    assert_eq!(strikes.count(), 3);
}

#[test]
fn clearing_forgets_every_rule_and_no_id_comes_back() {
    let faults = Faults::default();
    let before = faults.add(Empty::forever());
    faults.clear();
    assert!(faults.list().is_empty());
    assert_eq!(struck(&faults, "/", 1), [false]);
    assert_ne!(faults.add(Empty::once()), before);
}

#[test]
fn refusing_connections_spares_requests_and_the_other_way_round() {
    let faults = Faults::default();
    faults.add(Refuse::once());
    assert_eq!(struck(&faults, "/", 1), [false]);
    assert!(!faults.admits_connection());
    faults.add(Empty::once());
    assert!(faults.admits_connection());
}

#[test]
#[should_panic(expected = "is not a path")]
fn a_path_that_is_none_is_refused_where_it_is_written() {
    drop(get("users/{id"));
}
