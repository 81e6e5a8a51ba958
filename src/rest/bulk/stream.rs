//! Messages of bulk streams, and the calls that do the same with some of their rows.

use super::Bulk;
use crate::contract;
use crate::proto::{BulkEvent, BulkStart};
use crate::rest::many::Names;

/// A message of a bulk stream. What it has beside rows, it has for all rows of the stream, and only the first one may have it.
pub trait BulkStream: contract::Request<Reply: From<BulkEvent>> + PartialEq {
    /// The call that does the same with up to a hundred rows.
    type Call: Bulk;
    /// A row.
    type Row: Clone + Send + Sync + 'static;
    /// The lists of the call that hold rows.
    const LISTS: &'static [&'static str];

    /// Takes the start out of the message.
    fn take_start(&mut self) -> Option<BulkStart>;
    /// Takes the rows out of the message.
    fn take_rows(&mut self) -> Vec<Self::Row>;
    /// Returns the call for these rows. `self` is the first message of their stream.
    fn call(&self, rows: Vec<Self::Row>) -> Self::Call;
    /// True if values of user fields in its rows are to be compared with their definitions.
    fn checks_user_fields(&self) -> bool {
        false
    }
    /// Returns what a row names a record by.
    fn names(row: &Self::Row) -> Names;
    /// Returns about how many bytes a row has in a request to Zendesk.
    fn bytes(row: &Self::Row) -> usize;
    /// True if two rows name their records in the same way, as all rows of a stream must.
    fn are_alike(_one: &Self::Row, _other: &Self::Row) -> bool {
        true
    }
}

/// Returns where in a row a field is that the call for this row alone was refused for: empty for the row as a whole. None if the
/// field is none of the row's, but says something of all rows.
pub fn within_row<S: BulkStream>(field: &str) -> Option<&str> {
    let rest = S::LISTS.iter().find_map(|list| field.strip_prefix(list))?;
    let rest = rest.strip_prefix("[0]").unwrap_or(rest);
    if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }
}

macro_rules! told {
    ($($reply:ident),+ $(,)?) => {
        $(impl From<BulkEvent> for crate::proto::$reply {
            fn from(event: BulkEvent) -> Self {
                Self { event: Some(event) }
            }
        })+
    };
}
told!(
    StreamBulkCreateUsersResponse,
    StreamBulkCreateOrUpdateUsersResponse,
    StreamBulkUpdateUsersResponse,
    StreamBulkDeleteUsersResponse,
    StreamBulkCreateMembershipsResponse,
    StreamBulkDeleteMembershipsResponse,
    StreamBulkCreateOrganizationsResponse,
    StreamBulkUpdateOrganizationsResponse,
    StreamBulkDeleteOrganizationsResponse,
    StreamBulkCreateOrganizationMembershipsResponse,
    StreamBulkDeleteOrganizationMembershipsResponse,
);

#[cfg(test)]
mod tests {
    use super::within_row;
    use crate::proto::{StreamBulkCreateUsersRequest, StreamBulkUpdateUsersRequest};

    #[test]
    fn a_field_is_found_within_its_row() {
        let of_users = within_row::<StreamBulkCreateUsersRequest>;
        assert_eq!(of_users("users[0].email"), Some("email"));
        assert_eq!(of_users("users[0].photo.url"), Some("photo.url"));
        assert_eq!(of_users("users[0]"), Some(""));
        assert_eq!(of_users("user.email"), None, "the change of all rows");
        let of_updates = within_row::<StreamBulkUpdateUsersRequest>;
        assert_eq!(of_updates("ids"), Some(""));
        assert_eq!(of_updates("update_mask"), None);
        assert_eq!(of_updates("users[0].user.role"), Some("user.role"));
    }
}
