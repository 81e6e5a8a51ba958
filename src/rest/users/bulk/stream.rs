//! The streams of the bulk writes of users.

use prost::Message as _;

use super::{names_of, names_of_update};
use crate::proto::{
    BulkCreateOrUpdateUsersRequest, BulkCreateUsersRequest, BulkDeleteUsersRequest, BulkStart, BulkUpdateUsersRequest,
    StreamBulkCreateOrUpdateUsersRequest, StreamBulkCreateUsersRequest, StreamBulkDeleteUsersRequest,
    StreamBulkUpdateUsersRequest, UserInput, UserUpdate,
};
use crate::rest::bulk::{BulkStream, NamedRow, Update};
use crate::rest::many::Names;

/// Create Many Users and Create Or Update Many Users: each row is a user.
macro_rules! of_inputs {
    ($($stream:ident: $call:ident),+) => {
        $(impl BulkStream for $stream {
            type Call = $call;
            type Row = UserInput;
            const LISTS: &'static [&'static str] = &["users"];

            fn take_start(&mut self) -> Option<BulkStart> {
                self.start.take()
            }

            fn take_rows(&mut self) -> Vec<UserInput> {
                std::mem::take(&mut self.users)
            }

            fn call(&self, users: Vec<UserInput>) -> $call {
                $call { users, wait: true, check_user_fields: self.check_user_fields }
            }

            fn checks_user_fields(&self) -> bool {
                self.check_user_fields
            }

            fn names(row: &UserInput) -> Names {
                names_of(row)
            }

            fn bytes(row: &UserInput) -> usize {
                row.encoded_len()
            }
        })+
    };
}
of_inputs!(
    StreamBulkCreateUsersRequest: BulkCreateUsersRequest,
    StreamBulkCreateOrUpdateUsersRequest: BulkCreateOrUpdateUsersRequest
);

impl Update for UserUpdate {
    fn names(&self) -> Names {
        names_of_update(self)
    }
}

type Row = NamedRow<UserUpdate>;

impl BulkStream for StreamBulkUpdateUsersRequest {
    type Call = BulkUpdateUsersRequest;
    type Row = Row;
    const LISTS: &'static [&'static str] = &["users", "ids", "external_ids"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<Row> {
        Row::all(&mut self.ids, &mut self.external_ids, &mut self.users)
    }

    fn call(&self, rows: Vec<Row>) -> BulkUpdateUsersRequest {
        let (user, update_mask, brand_id) = (self.user.clone(), self.update_mask.clone(), self.brand_id);
        let (ids, external_ids, users) = Row::apart(rows);
        let check_user_fields = self.check_user_fields;
        BulkUpdateUsersRequest { ids, external_ids, user, update_mask, users, brand_id, wait: true, check_user_fields }
    }

    fn checks_user_fields(&self) -> bool {
        self.check_user_fields
    }

    fn names(row: &Row) -> Names {
        row.names()
    }

    fn bytes(row: &Row) -> usize {
        row.bytes()
    }

    fn are_alike(one: &Row, other: &Row) -> bool {
        std::mem::discriminant(one) == std::mem::discriminant(other)
    }
}

impl BulkStream for StreamBulkDeleteUsersRequest {
    type Call = BulkDeleteUsersRequest;
    type Row = Row;
    const LISTS: &'static [&'static str] = &["ids", "external_ids"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<Row> {
        Row::all(&mut self.ids, &mut self.external_ids, &mut Vec::new())
    }

    fn call(&self, rows: Vec<Row>) -> BulkDeleteUsersRequest {
        let (ids, external_ids, _) = Row::apart(rows); // `take_rows` makes no others
        BulkDeleteUsersRequest { ids, external_ids, brand_id: self.brand_id, wait: true }
    }

    fn names(row: &Row) -> Names {
        row.names()
    }

    fn bytes(row: &Row) -> usize {
        row.bytes()
    }

    fn are_alike(one: &Row, other: &Row) -> bool {
        std::mem::discriminant(one) == std::mem::discriminant(other)
    }
}
