//! [`Error`] → `tonic::Status` with the details of AIP-193: `ErrorInfo` always, the others where they apply.

use std::collections::HashMap;

use http::HeaderValue;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{Error, NOT_LEADER, PUSHBACK, Refusal, Violation, reason_name, shortened};
use crate::limits::{Limits, UNSTATED_WAIT};
use crate::proto::ErrorReason;

/// The error domain if Zendesk refused.
const ZENDESK: &str = "zendesk.com";
/// The error domain if the gateway refused.
const GATEWAY: &str = "zendesk-gateway";

/// Most bytes of field violations, before base64 adds a third. Clients drop a status whose trailers exceed 8 KiB, or what their
/// proxies allow, and with it the code; so message and details have 6 KiB together.
const MOST_OF_VIOLATIONS: usize = 2 << 10;
/// Most field violations of a status.
const MOST_VIOLATIONS: usize = 16;
/// Bytes around the texts of a violation.
const FRAMING: usize = 16;
/// Most bytes of a message in a header, where each byte outside ASCII takes three, and again in the details.
const LONGEST_MESSAGE: usize = 1536;

/// Most characters of a message.
const LONGEST_TEXT: usize = 512;
/// Most bytes of an error code or an id of Zendesk's.
const LONGEST_WORD: usize = 128;

/// Returns the reason in a status, if it is one of the contract's.
pub fn reason_of(status: &Status) -> Option<&'static str> {
    let details = status.get_error_details();
    let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", details.error_info()?.reason))?;
    Some(reason_name(reason))
}

/// Cuts a text to what takes at most so many bytes in a header.
fn short(message: &str, most: usize) -> &str {
    let mut bytes = 0;
    let fits = |(_, char): &(usize, char)| {
        bytes += if char.is_ascii() { 1 } else { 3 * char.len_utf8() };
        bytes <= most
    };
    let end = message.char_indices().take_while(fits).last();
    &message[..end.map_or(0, |(at, char)| at + char.len_utf8())]
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let row = error.row();
        let refusal = error.refusal();
        let mut metadata = HashMap::new();
        // Status 0: the gateway refused by Zendesk's rules and sent nothing, so the domain is the gateway's.
        let refusal = refusal.filter(|refusal| refusal.status > 0);
        if let Some(refusal) = refusal {
            metadata.insert("http_status".to_owned(), refusal.status.to_string());
            let mut tell = |key: &str, text: Option<&String>| {
                metadata.extend(text.map(|text| (key.to_owned(), short(text, LONGEST_WORD).to_owned())));
            };
            tell("request_id", refusal.request_id.as_ref());
            tell("zendesk_error", refusal.code.as_ref());
        }
        if let Some(limit) = error.limit() {
            metadata.insert("limit".to_owned(), limit.word().to_owned());
        }
        if let Error::SlotsTaken { own, others } = &error {
            metadata.insert("slots_own".to_owned(), own.to_string());
            metadata.insert("slots_others".to_owned(), others.to_string());
        }
        let domain = if refusal.is_some() { ZENDESK } else { GATEWAY };
        let violations: Vec<Violation> = match (&error, refusal) {
            (Error::Invalid { field, problem, more }, _) => {
                let first = Violation::of(field.clone(), problem.clone());
                [first].into_iter().chain(more.iter().cloned()).collect()
            }
            (_, Some(refusal)) => refusal.violations.clone(),
            _ => Vec::new(),
        };
        let all = violations.len();
        let fitting = violations.into_iter().enumerate().take(MOST_VIOLATIONS).scan(0, |bytes, (index, violation)| {
            let Violation { field, description, code } = &violation;
            *bytes += field.len() + description.len() + code.len() + FRAMING;
            // Our own are short, but for what they quote of the caller's.
            (*bytes <= MOST_OF_VIOLATIONS || (index == 0 && refusal.is_none())).then_some(violation)
        });
        let violations: Vec<FieldViolation> = fitting
            .map(|Violation { field, description, code }| FieldViolation {
                reason: code,
                ..FieldViolation::new(field, description)
            })
            .collect();
        let left_out = all - violations.len();
        if left_out > 0 {
            metadata.insert("violations_left_out".to_owned(), left_out.to_string());
        }
        let mut details = ErrorDetails::with_error_info(error.reason(), domain, metadata);
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        // Whoever is throttled is told when to come back, also where Zendesk does not say it.
        let unstated = |refusal: &Refusal| {
            let Limits { account, buckets } = &refusal.limits;
            let spent = buckets.iter().map(|(_, window)| window).find(|window| window.remaining == 0);
            spent.or(account.as_ref()).and_then(|window| window.reset).unwrap_or(UNSTATED_WAIT)
        };
        let wait = match &error {
            Error::Throttled(refusal) => Some(error.retry_after().unwrap_or_else(|| unstated(refusal))),
            _ => error.retry_after(),
        };
        if let Some(wait) = wait {
            details.set_retry_info(Some(wait));
        }
        if let Error::NotFound(refusal) = &error {
            // `resource` is set in every `NotFound` that a response makes, and empty only in those that tests make.
            let resource_type = refusal.resource.rsplit('/').nth(1).unwrap_or(&refusal.resource);
            details.set_resource_info(resource_type, refusal.resource.clone(), "", "");
        }
        let pushback = error.pushback().map(|pushback| (PUSHBACK, pushback));
        let not_leader = matches!(error, Error::NotLeader).then_some((NOT_LEADER, HeaderValue::from_static("0")));
        let metadata = MetadataMap::from_headers(pushback.into_iter().chain(not_leader).collect());
        let advice = error.advice(wait).map_or_else(String::new, |advice| format!("; {advice}"));
        // The advice is ours and short; what comes before it may quote much.
        let said = shortened(&error.to_string(), LONGEST_TEXT - advice.len());
        let message = format!("{}{advice}", short(&said, LONGEST_MESSAGE - advice.len()));
        Self::with_error_details_and_metadata(row.code, message, details, metadata)
    }
}
