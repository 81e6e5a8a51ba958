//! The account's rules for changes, apart from how a change is requested.
//!
//! Single requests and background jobs change records through the same rules,
//! so a bulk change is refused for the same reasons as a single one.

pub mod attributes;
pub mod groups;
pub mod memberships;
pub mod users;

use super::errors::Finding;

/// Why a record cannot be saved.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such record.
    NotFound,
    /// The caller may not do this to that record.
    Forbidden,
    /// 422 with what was found.
    Invalid(Vec<Finding>),
}

impl Refusal {
    pub fn invalid(field: &'static str, error: &'static str, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Finding::new(field, error, description)])
    }

    /// All findings as one line, as jobs report them.
    pub fn details(&self) -> String {
        match self {
            Self::NotFound => "Not found".into(),
            Self::Forbidden => "Access denied".into(),
            Self::Invalid(findings) => {
                let lines: Vec<&str> = findings.iter().map(|finding| finding.description.as_str()).collect();
                lines.join(" ")
            }
        }
    }
}

impl From<Refusal> for super::reply::Reply {
    fn from(refusal: Refusal) -> Self {
        use super::errors;
        match refusal {
            Refusal::NotFound => errors::not_found(),
            Refusal::Forbidden => errors::forbidden(),
            Refusal::Invalid(findings) => errors::record_invalid(&findings),
        }
    }
}
