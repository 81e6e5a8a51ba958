//! From a path to its template: which of the contract's endpoints a request is for.

use std::sync::LazyLock;

use http::Method;
use smallvec::SmallVec;

use crate::contract::RPCS;

/// Stands for every path without a template, so that telemetry has no more values than the contract has paths.
const OTHER: &str = "_OTHER";

struct Template {
    verb: &'static str,
    path: &'static str,
    parts: Vec<&'static str>,
    parameters: usize,
}

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let endpoints = RPCS.iter().flat_map(|rpc| rpc.endpoints);
    let mut templates: Vec<Template> = endpoints
        .map(|endpoint| Template {
            verb: endpoint.verb,
            path: endpoint.path,
            parts: endpoint.path.split('/').collect(),
            parameters: endpoint.path.matches('{').count(),
        })
        .collect();
    // Templates with the same number of segments stand together, and `users/show_many` comes before `users/{id}`.
    templates.sort_by_key(|template| (template.parts.len(), template.parameters, template.verb, template.path));
    templates.dedup_by_key(|template| (template.verb, template.path));
    templates
});

/// One of the contract's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The path's template, such as `/api/v2/users/{id}`.
    pub template: &'static str,
    /// Its index among all templates; none if no template matches.
    pub number: Option<usize>,
}

/// Returns how many there are.
pub fn count() -> usize {
    TEMPLATES.len()
}

/// Returns the endpoint that a path belongs to.
pub fn of(method: &Method, path: &str) -> Endpoint {
    let segments: SmallVec<[&str; 8]> = path.split('/').collect();
    let matches = |template: &Template| {
        // From the end: all begin alike.
        let mut pairs = template.parts.iter().zip(&segments).rev();
        template.verb == method.as_str() && pairs.all(|(part, segment)| part == segment || part.starts_with('{'))
    };
    let first = TEMPLATES.partition_point(|template| template.parts.len() < segments.len());
    let as_long = TEMPLATES[first..].iter().take_while(|template| template.parts.len() == segments.len());
    let number = as_long.enumerate().find(|(_, template)| matches(template)).map(|(at, _)| first + at);
    Endpoint { template: number.map_or(OTHER, |number| TEMPLATES[number].path), number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_template_with_the_fewest_parameters() {
        for (path, wanted) in [
            ("/api/v2/users/7", "/api/v2/users/{id}"),
            ("/api/v2/users/show_many", "/api/v2/users/show_many"),
            ("/api/v2/users/7/group_memberships/8", "/api/v2/users/{user_id}/group_memberships/{id}"),
            ("/api/v2/job_statuses/V3-0af7", "/api/v2/job_statuses/{id}"),
            ("/api/v2/tickets/7", "_OTHER"),
            ("/api/v2/users/7/", "_OTHER"),
        ] {
            assert_eq!(of(&Method::GET, path).template, wanted, "{path}");
        }
        assert_eq!(of(&Method::PATCH, "/api/v2/users/7"), Endpoint { template: "_OTHER", number: None });
    }

    #[test]
    fn every_endpoint_of_the_contract_is_told_apart() {
        for endpoint in RPCS.iter().flat_map(|rpc| rpc.endpoints) {
            let path = endpoint.path.replace(['{', '}'], "");
            let verb = Method::from_bytes(endpoint.verb.as_bytes()).expect("a verb");
            let found = of(&verb, &path).template;
            assert_eq!(found.matches('{').count(), endpoint.path.matches('{').count(), "{verb} {path}: {found}");
        }
    }
}
