//! `POST /cache/invalidate`: lets operators invalidate cached answers after a change at Zendesk that this replica did not make.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use tracing::info;
use url::form_urlencoded;

use super::shown::Admin;
use crate::cache::Tag;
use crate::fleet::link::Course;
use crate::fleet::wire::ALL;

/// What to invalidate.
enum Which {
    Tags(Vec<(String, Tag)>),
    All,
}

#[derive(Serialize)]
struct Done {
    invalidated: Vec<String>,
}

/// Invalidates answers: `?tag=user:7&tag=groups`, or `?all=true`. A query with any mistake changes nothing.
pub async fn invalidate(State(admin): State<Admin>, uri: Uri, headers: HeaderMap) -> Response {
    // Browsers add the header to what a web page sends, and no web page should empty the cache.
    if headers.contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "not for browsers: the request has an origin header\n").into_response();
    }
    let which = match read(uri.query().unwrap_or_default()) {
        Ok(which) => which,
        Err(mistake) => return (StatusCode::BAD_REQUEST, format!("{mistake}\n")).into_response(),
    };
    if !passed_on(&admin, &which).await {
        return (StatusCode::BAD_GATEWAY, "the leader of the fleet does not answer; nothing is void\n").into_response();
    }
    let cache = &admin.0.cache;
    let invalidated = match which {
        Which::All => {
            cache.invalidate_all();
            info!("an operator emptied the cache");
            vec!["all".to_owned()]
        }
        Which::Tags(tags) => {
            for (_, tag) in &tags {
                cache.invalidate(*tag);
            }
            info!(cache.tags = tags.len(), "an operator made answers void");
            tags.into_iter().map(|(text, _)| text).collect()
        }
    };
    Json(Done { invalidated }).into_response()
}

/// Has the leader make it void, too, if this replica follows one; false if the leader does not say that it did.
async fn passed_on(admin: &Admin, which: &Which) -> bool {
    let Some(leader) =
        admin.0.leader.as_ref().filter(|link| !matches!(link.course(), Course::Alone(_) | Course::Own(_)))
    else {
        return true;
    };
    let what = match which {
        Which::All => Ok(ALL),
        Which::Tags(tags) => tags.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",").try_into(),
    };
    match what {
        Ok(what) => leader.invalidate(what).await,
        Err(_) => false,
    }
}

fn read(query: &str) -> Result<Which, String> {
    let mut tags = Vec::new();
    let mut all = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "tag" => {
                let tag = value.parse().map_err(|error| format!("tag: {error}"))?;
                tags.push((value.into_owned(), tag));
            }
            "all" if value == "true" => all = true,
            "all" => return Err("all: must be `true`".to_owned()),
            other => return Err(format!("{}: unknown; there are `tag` and `all`", other.escape_debug())),
        }
    }
    match (all, tags.is_empty()) {
        (true, true) => Ok(Which::All),
        (true, false) => Err("all: leaves nothing for `tag` to name".to_owned()),
        (false, true) => Err("tag: is missing; name tags, or say `all=true`".to_owned()),
        (false, false) => Ok(Which::Tags(tags)),
    }
}
