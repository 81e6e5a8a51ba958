//! What a request asks for beside the records that it is about: `include` of Zendesk's requests, which it calls side-loading.
//! <https://developer.zendesk.com/documentation/ticketing/using-the-zendesk-api/side_loading/>

use super::page::{Page, Sideloads};
use super::row::Row;
use crate::cache::{Policy, tag};
use crate::error::Checks;
use crate::json::Malformed;
use crate::upstream::call::Parsed;

/// A request that can ask for more beside its records. `proto/build/rows.rs` writes it from the fields `include_…`.
pub trait Includes {
    /// Returns what it asks for, by Zendesk's names.
    fn includes(&self) -> Vec<&'static str>;
}

/// A reply that has other records beside its own, and is no page of a list.
pub trait Beside: prost::Message + Default + 'static {
    /// The record that it is about.
    type Row: Row;

    /// Puts in what came beside it, and how many of it cannot be read.
    fn put(&mut self, sideloads: Sideloads, unreadable_rows: i32);
}

/// Adds to the reply for one record what its answer has beside that.
pub(super) fn beside<T: Beside>(parsed: Parsed, body: &[u8], wanted: &[&str]) -> Result<Parsed, Malformed> {
    if wanted.is_empty() {
        return Ok(parsed);
    }
    let mut reply = parsed.downcast::<T>().expect("the reply to this request");
    let (sideloads, unreadable_rows) = Page::<T::Row>::beside_one(body)?;
    reply.put(sideloads.only(wanted), unreadable_rows);
    Ok(reply)
}

/// Refuses what is asked for beside a list that Zendesk gives nothing beside, because `field` is set.
pub(super) fn refuse(checks: &mut Checks, wanted: &[&str], field: &str) {
    for name in wanted {
        checks.refuse(&format!("include_{name}"), &format!("cannot be combined with {field}"));
    }
}

/// Adds what an answer is about for what comes beside its records.
pub(super) fn also(policy: Policy, wanted: &[&str]) -> Policy {
    wanted.iter().fold(policy, |policy, name| match *name {
        // What the credential's user may do follows from that user's record.
        "users" | "abilities" => policy.and(tag::users()),
        "groups" => policy.and(tag::groups()),
        "organizations" => policy.and(tag::organizations()),
        "identities" => policy.and(tag::identities()),
        // No RPC writes roles or tickets.
        _ => policy,
    })
}
