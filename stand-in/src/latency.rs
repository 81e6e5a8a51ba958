//! How long answers take, as recorded in `x-runtime`: median and maximum.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::World;
use super::config::Latency;

/// Waits as long as the account would take.
pub async fn layer(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let wait = match world.config.latency {
        Latency::None => Duration::ZERO,
        Latency::Fixed(wait) => wait,
        Latency::Realistic => {
            let template = request.extensions().get::<MatchedPath>();
            let template = template.map_or("", MatchedPath::as_str);
            sample(recorded(request.method(), template))
        }
    };
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    next.run(request).await
}

/// Median and maximum in milliseconds. Endpoints that were not recorded get
/// the numbers of their nearest relative (an assumption).
fn recorded(method: &Method, template: &str) -> (u64, u64) {
    let path = template.strip_prefix("/api/v2").unwrap_or_default();
    let family = path.split('/').nth(1).unwrap_or_default();
    let bulk = path.ends_with("_many") && *method != Method::GET;
    match (method.as_str(), family) {
        _ if bulk => (80, 125),
        ("GET", _) if path.ends_with("/show_many") => (176, 315),
        ("GET", _) if path.ends_with("/users/search") => (180, 400),
        ("GET", _) if path.ends_with("memberships") => (60, 141),
        ("GET", _) if path.ends_with("users") => (141, 396),
        ("GET", _) if path.ends_with("groups") => (60, 91),
        ("GET", "groups" | "group_memberships") => (60, 91),
        ("GET", "job_statuses") => (64, 123),
        ("GET", _) => (80, 160),
        ("POST", "groups" | "group_memberships") => (155, 188),
        ("POST", _) => (137, 173),
        ("DELETE", "users") => (294, 368),
        _ => (140, 180),
    }
}

/// Mostly near the median, one in fifty at the maximum.
fn sample((median, maximum): (u64, u64)) -> Duration {
    let micros = if fastrand::u8(0..50) == 0 {
        maximum * 1000
    } else {
        fastrand::u64(median * 850..=median * 1150).min(maximum * 1000)
    };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_take_the_time_that_was_recorded() {
        for (method, path, median) in [
            (Method::GET, "/users", 141),
            (Method::GET, "/groups/{group_id}/users", 141),
            (Method::GET, "/users/{user_id}/group_memberships", 60),
            (Method::GET, "/users/show_many", 176),
            (Method::POST, "/users/create_many", 80),
            (Method::POST, "/users", 137),
            (Method::DELETE, "/users/{user_id}", 294),
        ] {
            assert_eq!(recorded(&method, &format!("/api/v2{path}")).0, median, "{method} {path}");
        }
    }

    #[test]
    fn no_answer_takes_longer_than_the_longest_recorded() {
        for _ in 0..1000 {
            let wait = sample((141, 396));
            assert!((Duration::from_millis(100)..=Duration::from_millis(396)).contains(&wait), "{wait:?}");
        }
    }
}
