//! The body of an answer that is no success, which explains the status.
//!
//! The status and the headers count even without it. If it breaks off, is too long or too slow, or is wrongly encoded, only the
//! explanation is lost: a refused write stays refused, and a refused read does not count as a failure of Zendesk.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use super::packed::Coming;
use crate::error::{Error, Refusal};
use crate::upstream::call::Call;
use crate::upstream::client::read_into;
use crate::upstream::judge::judge;

/// How long the explanation may take. Without a limit, one that never ends would turn a refused write into an unknown outcome,
/// and a refused read into a sign that Zendesk hangs.
const WITHIN: Duration = Duration::from_secs(1);
/// Longest explanation that is read. It is charged to nobody, and those of Zendesk have some hundred bytes.
const LONGEST: usize = 256 << 10;

/// Reads the explanation. Each part that arrives is told to `arrived`.
///
/// # Errors
/// The part that could be read, if it is not all.
pub async fn explanation(
    response: &mut reqwest::Response,
    headers: &HeaderMap,
    most: usize,
    arrived: impl Fn(),
) -> Result<Vec<u8>, Vec<u8>> {
    let (mut came, most) = (Vec::new(), most.min(LONGEST));
    let is_whole = matches!(timeout(WITHIN, read_into(&mut came, response, most, arrived)).await, Ok(Ok(())));
    let mut body = Coming::of(headers, came.len());
    for piece in came.chunks(body.piece()) {
        if body.add(piece).is_err() || body.len() > most {
            return Err(body.so_far());
        }
    }
    if is_whole { body.end().map_err(|_| Vec::new()) } else { Err(body.so_far()) }
}

/// Judges an answer that is no success by its status, and by the part of its explanation that came. A 404 alone does not say
/// whether a record or the whole account is missing, so unless that part says it, the call is only refused.
pub fn judge_in_part(call: &Call, status: StatusCode, headers: &HeaderMap, part: &[u8]) -> Error {
    let says_so = |refusal: &Refusal| refusal.code.as_deref() == Some("RecordNotFound");
    match judge(call, status, headers, part).err() {
        Some(Error::NotFound(refusal)) if !says_so(&refusal) => Error::Refused(refusal),
        Some(Error::AccountNotFound(refusal)) => Error::Refused(refusal),
        Some(error) => error,
        None => Error::Internal { what: "a refusal is no success" },
    }
}
