//! The streams of the bulk writes of users.

use prost::Message as _;

use super::{names_of, names_of_update};
use crate::proto::{
    BulkCreateOrUpdateUsersRequest, BulkCreateUsersRequest, BulkDeleteUsersRequest, BulkStart, BulkUpdateUsersRequest,
    StreamBulkCreateOrUpdateUsersRequest, StreamBulkCreateUsersRequest, StreamBulkDeleteUsersRequest,
    StreamBulkUpdateUsersRequest, UserInput, UserUpdate,
};
use crate::rest::bulk::BulkStream;
use crate::rest::many::{Name, Names};

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
                $call { users, wait: true }
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

/// A row that names its user, and perhaps the change to it.
#[derive(Debug, Clone)]
pub enum Row {
    /// By id; the change is that of all rows.
    Id(i64),
    /// By external id; the change is that of all rows.
    ExternalId(String),
    /// With a change of its own.
    Update(Box<UserUpdate>),
}

impl Row {
    fn names(&self) -> Names {
        match self {
            Self::Id(id) => vec![("", Name::Id(*id))],
            Self::ExternalId(id) => vec![("", Name::text(id))],
            Self::Update(update) => names_of_update(update),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Id(_) => size_of::<i64>(),
            Self::ExternalId(id) => id.len(),
            Self::Update(update) => update.encoded_len(),
        }
    }
}

/// Takes the rows out of two lists of which one is used.
fn rows(ids: &mut Vec<i64>, external_ids: &mut Vec<String>) -> Vec<Row> {
    let ids = std::mem::take(ids).into_iter().map(Row::Id);
    ids.chain(std::mem::take(external_ids).into_iter().map(Row::ExternalId)).collect()
}

impl BulkStream for StreamBulkUpdateUsersRequest {
    type Call = BulkUpdateUsersRequest;
    type Row = Row;
    const LISTS: &'static [&'static str] = &["users", "ids", "external_ids"];

    fn take_start(&mut self) -> Option<BulkStart> {
        self.start.take()
    }

    fn take_rows(&mut self) -> Vec<Row> {
        let mut rows = rows(&mut self.ids, &mut self.external_ids);
        rows.extend(std::mem::take(&mut self.users).into_iter().map(|update| Row::Update(Box::new(update))));
        rows
    }

    fn call(&self, rows: Vec<Row>) -> BulkUpdateUsersRequest {
        let (user, update_mask, brand_id) = (self.user.clone(), self.update_mask.clone(), self.brand_id);
        let mut call = BulkUpdateUsersRequest { user, update_mask, brand_id, wait: true, ..Default::default() };
        for row in rows {
            match row {
                Row::Id(id) => call.ids.push(id),
                Row::ExternalId(id) => call.external_ids.push(id),
                Row::Update(update) => call.users.push(*update),
            }
        }
        call
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
        rows(&mut self.ids, &mut self.external_ids)
    }

    fn call(&self, rows: Vec<Row>) -> BulkDeleteUsersRequest {
        let mut call = BulkDeleteUsersRequest { brand_id: self.brand_id, wait: true, ..Default::default() };
        for row in rows {
            match row {
                Row::Id(id) => call.ids.push(id),
                Row::ExternalId(id) => call.external_ids.push(id),
                Row::Update(_) => {} // `take_rows` makes none
            }
        }
        call
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
