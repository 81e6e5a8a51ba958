//! The account's rules for changes, apart from how a change is requested.
//!
//! Single requests and background jobs change records through the same rules,
//! so a bulk change is refused for the same reasons as a single one.

pub mod attributes;
pub mod groups;
pub mod identities;
pub mod memberships;
pub mod organization_memberships;
pub mod organizations;
pub mod users;

use super::errors::ValidationError;

/// Why a record cannot be saved.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such record.
    NotFound,
    /// The caller may not do this to that record.
    Forbidden,
    /// 422 with what was found.
    Invalid(Vec<ValidationError>),
}

impl Refusal {
    pub fn invalid(field: &'static str, error: &'static str, description: impl Into<String>) -> Self {
        Self::Invalid(vec![ValidationError::new(field, error, description)])
    }

    /// All problems as one line, as jobs report them.
    pub fn details(&self) -> String {
        match self {
            Self::NotFound => "Not found".into(),
            Self::Forbidden => "Access denied".into(),
            Self::Invalid(problems) => {
                let lines: Vec<&str> = problems.iter().map(|finding| finding.description.as_str()).collect();
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
            Refusal::Invalid(problems) => errors::record_invalid(&problems),
        }
    }
}
