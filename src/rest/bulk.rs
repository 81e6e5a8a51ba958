//! What all bulk requests share: checks over whole lists, and cutting them into requests.

use std::collections::HashSet;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::gateway::bulk::{Chunk, Key, Outcome};
use crate::json::{self, Malformed};
use crate::proto::GetJobResponse;
use crate::rest::envelope;
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

/// Zendesk's limit of items per request.
pub const MOST_ITEMS: usize = 100;
/// Longest list of ids in one request's query; servers refuse request lines of more than 8 KiB.
const LONGEST_LIST: usize = 4000;
/// Longest external id.
const LONGEST_EXTERNAL_ID: usize = 255;

macro_rules! reply {
    ($($reply:ident),+) => {
        $(impl From<Outcome> for crate::proto::$reply {
            fn from(outcome: Outcome) -> Self {
                Self { jobs: outcome.jobs, outcomes: outcome.outcomes }
            }
        })+
    };
}
reply!(
    BulkCreateUsersResponse,
    BulkCreateOrUpdateUsersResponse,
    BulkUpdateUsersResponse,
    BulkDeleteUsersResponse,
    BulkCreateMembershipsResponse,
    BulkDeleteMembershipsResponse
);

/// Reads the answer to a bulk request, which must name the job that it became.
///
/// Zendesk has accepted the inputs then, and their fate can be learnt from the job only: without an id it stays unknown. The
/// reader of messages takes much for a text, so the id is looked at before. Commas separate ids where jobs are asked for.
pub fn accepted(body: &[u8]) -> Result<Parsed, Malformed> {
    #[derive(Deserialize)]
    struct Accepted {
        job_status: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let Accepted { job_status: Named { id } } = json::decode(body)?;
    if id.trim().is_empty() || id.contains(',') {
        return Err(Malformed::Foreign);
    }
    envelope(body, |reply: &GetJobResponse| reply.job_status.is_some())
}

/// Refuses an empty list.
pub fn some<T>(field: &str, items: &[T]) -> Result<()> {
    if items.is_empty() { Err(Error::invalid(field, "must not be empty")) } else { Ok(()) }
}

/// Refuses a list that names something twice: Zendesk would do it twice, in an order nobody knows.
pub fn distinct<T: std::hash::Hash + Eq>(field: &str, items: impl Iterator<Item = T>) -> Result<()> {
    let mut seen = HashSet::new();
    for (index, item) in items.enumerate() {
        if !seen.insert(item) {
            return Err(Error::invalid(field, &format!("names the same one twice, the second time at index {index}")));
        }
    }
    Ok(())
}

/// Checks a list of record ids.
pub fn ids(field: &str, ids: &[i64]) -> Result<()> {
    some(field, ids)?;
    if ids.iter().any(|id| *id <= 0) {
        return Err(Error::invalid(field, "must be positive ids"));
    }
    distinct(field, ids.iter())
}

/// Checks a list of external ids, which travel separated by commas.
pub fn external_ids(field: &str, ids: &[String]) -> Result<()> {
    some(field, ids)?;
    if ids.iter().any(|id| id.trim().is_empty() || id.contains(',') || id.len() > LONGEST_EXTERNAL_ID) {
        let problem = "must be 1 to 255 bytes each, without a comma, which separates them upstream";
        return Err(Error::invalid(field, problem));
    }
    distinct(field, ids.iter().map(|id| id.to_lowercase()))
}

/// Which records a bulk request names in its query.
pub enum Named<'a> {
    /// By id.
    Ids(&'a [i64]),
    /// By external id.
    ExternalIds(&'a [String]),
}

impl Named<'_> {
    /// Cuts the list into requests made by `rest` with the list in their query.
    pub fn chunks(&self, rest: impl Fn() -> Rest) -> Vec<Chunk> {
        let (name, texts, keys): (_, Vec<String>, Vec<Key>) = match self {
            Self::Ids(ids) => {
                let keys = ids.iter().map(|id| Key { id: Some(*id), ..Key::default() });
                ("ids", ids.iter().map(i64::to_string).collect(), keys.collect())
            }
            Self::ExternalIds(ids) => {
                let keys = ids.iter().map(|id| Key { external_id: Some(id.clone()), ..Key::default() });
                ("external_ids", ids.to_vec(), keys.collect())
            }
        };
        let mut chunks = Vec::new();
        let (mut list, mut of_list) = (String::new(), Vec::new());
        for (text, key) in texts.iter().zip(keys) {
            if of_list.len() == MOST_ITEMS || (!list.is_empty() && list.len() + text.len() >= LONGEST_LIST) {
                let keys = std::mem::take(&mut of_list);
                let rest = rest().query(name, std::mem::take(&mut list));
                chunks.push(Chunk { rest, keys, about: Vec::new() });
            }
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(text);
            of_list.push(key);
        }
        chunks.push(Chunk { rest: rest().query(name, list), keys: of_list, about: Vec::new() });
        chunks
    }
}
