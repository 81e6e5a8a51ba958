//! Rows of bulk streams that name their records in one of several ways.

use crate::rest::many::{Name, Names};

/// A change of one record, which it names.
pub trait Update: prost::Message {
    /// Returns what it names its record by.
    fn names(&self) -> Names;
}

/// A row that names its record, and perhaps the change to it.
#[derive(Debug, Clone)]
pub enum NamedRow<U> {
    /// By id; the change is that of all rows.
    Id(i64),
    /// By external id; the change is that of all rows.
    ExternalId(String),
    /// With a change of its own.
    Update(Box<U>),
}

impl<U: Update> NamedRow<U> {
    /// Takes the rows out of the lists of a message, of which one is used.
    pub fn all(ids: &mut Vec<i64>, external_ids: &mut Vec<String>, updates: &mut Vec<U>) -> Vec<Self> {
        let ids = std::mem::take(ids).into_iter().map(Self::Id);
        let external_ids = std::mem::take(external_ids).into_iter().map(Self::ExternalId);
        let updates = std::mem::take(updates).into_iter().map(|update| Self::Update(Box::new(update)));
        ids.chain(external_ids).chain(updates).collect()
    }

    /// Returns the lists of a call with these rows.
    pub fn apart(rows: Vec<Self>) -> (Vec<i64>, Vec<String>, Vec<U>) {
        let mut lists = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            match row {
                Self::Id(id) => lists.0.push(id),
                Self::ExternalId(id) => lists.1.push(id),
                Self::Update(update) => lists.2.push(*update),
            }
        }
        lists
    }

    /// Returns what it names its record by.
    pub fn names(&self) -> Names {
        match self {
            Self::Id(id) => vec![("", Name::Id(*id))],
            Self::ExternalId(id) => vec![("", Name::text(id))],
            Self::Update(update) => update.names(),
        }
    }

    /// Returns about how many bytes it has in a request to Zendesk.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Id(_) => size_of::<i64>(),
            Self::ExternalId(id) => id.len(),
            Self::Update(update) => update.encoded_len(),
        }
    }
}
