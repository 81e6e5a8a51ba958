//! From a path to its template: which of the contract's endpoints a request is for.

use std::sync::LazyLock;

use http::Method;
use smallvec::SmallVec;

use crate::contract::RPCS;

/// What is told where no template matches; the number of templates stays what the contract says.
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
    // `users/show_many` comes before `users/{id}`.
    templates.sort_by_key(|template| (template.parameters, template.verb, template.path));
    templates.dedup_by_key(|template| (template.verb, template.path));
    templates
});

/// Returns the template of a path, such as `/api/v2/users/{id}`.
pub fn template(method: &Method, path: &str) -> &'static str {
    let segments: SmallVec<[&str; 8]> = path.split('/').collect();
    let matches = |template: &&Template| {
        // From the end: all begin alike.
        let mut pairs = template.parts.iter().zip(&segments).rev();
        template.parts.len() == segments.len()
            && template.verb == method.as_str()
            && pairs.all(|(part, segment)| part == segment || part.starts_with('{'))
    };
    TEMPLATES.iter().find(matches).map_or(OTHER, |template| template.path)
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
            assert_eq!(template(&Method::GET, path), wanted, "{path}");
        }
        assert_eq!(template(&Method::PATCH, "/api/v2/users/7"), "_OTHER");
    }

    #[test]
    fn every_endpoint_of_the_contract_is_told_apart() {
        for endpoint in RPCS.iter().flat_map(|rpc| rpc.endpoints) {
            let path = endpoint.path.replace(['{', '}'], "");
            let verb = Method::from_bytes(endpoint.verb.as_bytes()).expect("a verb");
            let found = template(&verb, &path);
            assert_eq!(found.matches('{').count(), endpoint.path.matches('{').count(), "{verb} {path}: {found}");
        }
    }
}
