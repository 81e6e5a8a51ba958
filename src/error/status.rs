//! [`Error`] → `tonic::Status` with the details of AIP-193: `ErrorInfo` always, the others where they apply.

use std::collections::HashMap;

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{Error, snippet};

/// The error domain if Zendesk refused.
const ZENDESK: &str = "zendesk.com";
/// The error domain if the gateway refused.
const GATEWAY: &str = "zendesk-gateway";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let row = error.row();
        let refusal = error.refusal();
        let mut metadata = HashMap::new();
        // Status 0: the gateway refused by Zendesk's rules and sent nothing, so the domain is the gateway's.
        let refusal = refusal.filter(|refusal| refusal.status > 0);
        if let Some(refusal) = refusal {
            metadata.insert("http_status".to_owned(), refusal.status.to_string());
            metadata.extend(refusal.request_id.clone().map(|id| ("request_id".to_owned(), id)));
            metadata.extend(refusal.word.clone().map(|word| ("zendesk_error".to_owned(), word)));
        }
        let domain = if refusal.is_some() { ZENDESK } else { GATEWAY };
        let mut details = ErrorDetails::with_error_info(error.reason(), domain, metadata);

        let violations: Vec<FieldViolation> = match (&error, refusal) {
            (Error::Invalid { field, problem }, _) => vec![FieldViolation::new(field, problem)],
            (_, Some(refusal)) => refusal
                .violations
                .iter()
                .map(|violation| FieldViolation::new(&violation.field, &violation.description))
                .collect(),
            _ => Vec::new(),
        };
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        if let Some(wait) = error.retry_after() {
            details.set_retry_info(Some(wait));
        }
        if let Error::NotFound(refusal) = &error {
            // `resource` is set in every `NotFound` that a response makes, and empty only in those that tests make.
            let resource_type = refusal.resource.split('/').next().expect("a split has at least one part");
            details.set_resource_info(resource_type, refusal.resource.clone(), "", "");
        }
        Self::with_error_details(row.code, snippet(&error.to_string()), details)
    }
}
