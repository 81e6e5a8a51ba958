//! What a job does with its inputs, and how one of its results says how an input ended.

use crate::proto::{BulkResult, JobResult};

/// What a job does with each of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It creates a record.
    Create,
    /// It updates the record that the input identifies, or creates one.
    CreateOrUpdate,
    /// It updates a record.
    Update,
    /// It deletes a record.
    Delete,
}

impl Kind {
    /// Returns how an input ended, if its result says so clearly.
    ///
    /// `completed` is true if the job as a whole completed. A word that is unknown or does not fit the kind of job proves
    /// nothing, and neither does a result that reports both success and failure.
    pub fn end(self, result: &JobResult, completed: bool) -> Option<BulkResult> {
        let status = result.status.as_deref().filter(|word| !word.is_empty());
        if has_failed(result) {
            let went_well = result.success == Some(true) || status.is_some_and(|word| of_status(word).is_some());
            return (!went_well).then_some(BulkResult::Failed);
        }
        let said = match (status, result.action.as_deref()) {
            (Some(word), _) => of_status(word)?,
            (None, Some(action)) if result.success == Some(true) => of_action(action)?,
            (None, None) if result.success == Some(true) => self.only_end()?,
            // The vendor's specification gives a created resource as no more than its id and its position.
            (None, None) if completed && self == Self::Create && result.id.is_some() && result.index.is_some() => {
                BulkResult::Created
            }
            _ => return None,
        };
        self.can_end(said).then_some(said)
    }

    /// Returns the only end that counts as success for this kind; none for upserts, which have two.
    fn only_end(self) -> Option<BulkResult> {
        match self {
            Self::Create => Some(BulkResult::Created),
            Self::Update => Some(BulkResult::Updated),
            Self::Delete => Some(BulkResult::Deleted),
            Self::CreateOrUpdate => None,
        }
    }

    fn can_end(self, end: BulkResult) -> bool {
        match self {
            Self::CreateOrUpdate => matches!(end, BulkResult::Created | BulkResult::Updated),
            _ => self.only_end() == Some(end),
        }
    }
}

/// True if a result says that its input failed.
pub fn has_failed(result: &JobResult) -> bool {
    let is_failed = |word: &str| word.eq_ignore_ascii_case("failed");
    result.error.as_deref().is_some_and(|error| !error.is_empty())
        || result.success == Some(false)
        || result.status.as_deref().is_some_and(is_failed)
}

fn of_status(word: &str) -> Option<BulkResult> {
    match word.to_ascii_lowercase().as_str() {
        "created" => Some(BulkResult::Created),
        "updated" => Some(BulkResult::Updated),
        "deleted" => Some(BulkResult::Deleted),
        _ => None,
    }
}

fn of_action(action: &str) -> Option<BulkResult> {
    match action.to_ascii_lowercase().as_str() {
        "create" => Some(BulkResult::Created),
        "update" => Some(BulkResult::Updated),
        "delete" => Some(BulkResult::Deleted),
        _ => None,
    }
}
