//! The rows of one request: their places in the import, and what identifies them.

use crate::error::{Checks, Result};
use crate::proto::{BulkAnnouncement, BulkItem, BulkReceipt};
use crate::rest::bulk::{Chunk, Key};
use crate::rest::many::MOST_ITEMS;
use crate::upstream::rest::text_id;

/// Largest index of the row that a stream begins with, so that no later index overflows.
pub const LAST_INDEX: i64 = i64::MAX / 2;

/// The rows of one request. All that is needed to tell their outcomes once it was sent.
#[derive(Debug, Clone)]
pub struct Items {
    /// Index of the first row that the request covers.
    pub first: i64,
    /// How many rows it covers: those that it holds, and those before, between and after them that were refused.
    pub rows: i32,
    /// For each row that it holds, the index in the import.
    pub indices: Vec<i64>,
    /// For each row that it holds, what identifies it in the job's results.
    pub keys: Vec<Key>,
}

/// A request to be sent.
#[derive(Debug)]
pub struct Part {
    /// The request.
    pub chunk: Chunk,
    /// Its rows.
    pub items: Items,
    /// True once the caller was told that it will be sent.
    pub is_announced: bool,
}

impl Part {
    /// Returns the request of a chunk whose rows are these. It covers the rows from `first` to the one before `end`.
    pub fn new(chunk: Chunk, indices: Vec<i64>, first: i64, end: i64) -> Self {
        let rows = i32::try_from(end - first).unwrap_or(i32::MAX);
        let keys = chunk.keys.clone();
        Self { chunk, items: Items { first, rows, indices, keys }, is_announced: false }
    }
}

impl Items {
    /// Returns the announcement of these rows.
    pub fn announcement(&self) -> BulkAnnouncement {
        BulkAnnouncement { first_index: self.first, row_count: self.rows }
    }

    /// Returns the receipt of these rows, which became this job.
    pub fn receipt(&self, job_id: &str) -> BulkReceipt {
        let item = |(index, key): (&i64, &Key)| BulkItem {
            index: *index,
            id: key.id,
            email: key.email.clone(),
            external_id: key.external_id.clone(),
        };
        let items = self.indices.iter().zip(&self.keys).map(item).collect();
        BulkReceipt { job_id: job_id.to_owned(), first_index: self.first, row_count: self.rows, items }
    }

    /// Reads the rows of a receipt that was handed back.
    pub fn of_receipt(receipt: BulkReceipt, within: &str) -> Result<Self> {
        let field = |name: &str| format!("{within}.{name}");
        let mut checks = Checks::default();
        checks.take(text_id(&field("job_id"), &receipt.job_id));
        let in_order = receipt.items.windows(2).all(|pair| pair[0].index < pair[1].index);
        let end = receipt.first_index.checked_add(receipt.row_count.into());
        let covers = |index: i64| index >= receipt.first_index && end.is_some_and(|end| index < end);
        if !(1..=MOST_ITEMS).contains(&receipt.items.len()) {
            checks.refuse(&field("items"), "must be the 1 to 100 rows of the job");
        } else if receipt.first_index < 0 || !in_order || !receipt.items.iter().all(|item| covers(item.index)) {
            checks.refuse(&field("items"), "must be rows from first_index on, in their order");
        }
        checks.end(Some(()))?;
        let indices = receipt.items.iter().map(|item| item.index).collect();
        let key = |item: BulkItem| Key { id: item.id, email: item.email, external_id: item.external_id };
        let keys = receipt.items.into_iter().map(key).collect();
        Ok(Self { first: receipt.first_index, rows: receipt.row_count, indices, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_that_is_handed_back_says_what_it_said() {
        let keys = vec![
            Key { id: Some(7), ..Key::default() },
            Key { email: Some("a@b.example".to_owned()), external_id: Some("x".to_owned()), ..Key::default() },
        ];
        let items = Items { first: 40, rows: 5, indices: vec![41, 44], keys };
        let read = Items::of_receipt(items.receipt("V3-1"), "start").expect("it is good");
        assert_eq!((read.first, read.rows), (40, 5));
        assert_eq!((read.indices, read.keys), (items.indices, items.keys));
    }

    #[test]
    fn a_receipt_that_nobody_has_given_is_refused() {
        let item = |index| BulkItem { index, ..BulkItem::default() };
        let good =
            BulkReceipt { job_id: "V3-1".to_owned(), first_index: 2, row_count: 2, items: vec![item(2), item(3)] };
        Items::of_receipt(good.clone(), "r").expect("it is good");
        for bad in [
            BulkReceipt { job_id: "../users".to_owned(), ..good.clone() },
            BulkReceipt { items: Vec::new(), ..good.clone() },
            BulkReceipt { items: (0..101).map(item).collect(), row_count: 200, first_index: 0, ..good.clone() },
            BulkReceipt { items: vec![item(3), item(2)], ..good.clone() },
            BulkReceipt { items: vec![item(2), item(2)], ..good.clone() },
            BulkReceipt { items: vec![item(1)], ..good.clone() },
            BulkReceipt { items: vec![item(4)], ..good.clone() },
            BulkReceipt { first_index: -1, items: vec![item(0)], ..good.clone() },
            BulkReceipt { first_index: i64::MAX, ..good },
        ] {
            assert!(Items::of_receipt(bad.clone(), "r").is_err(), "{bad:?}");
        }
    }
}
