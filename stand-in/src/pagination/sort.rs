//! The parameter `sort`: one field, `-` in front for descending.

use crate::call::Call;
use crate::errors;
use crate::reply::Reply;

/// What a list is sorted by.
pub struct Sort {
    pub field: &'static str,
    /// The order's name in cursors: `id`, `name,id`, `-name,id`.
    pub name: String,
}

impl Sort {
    /// Reads `sort`; without it the first of `fields` is taken. Which fields a
    /// list can be sorted by is an assumption everywhere; that others are
    /// refused is known.
    pub fn of(call: &Call, fields: &[&'static str]) -> Result<Self, Reply> {
        let text = call.query.get("sort").unwrap_or(fields[0]);
        let (minus, wanted) = match text.strip_prefix('-') {
            Some(wanted) => ("-", wanted),
            None => ("", text),
        };
        let field = fields.iter().find(|field| **field == wanted);
        let field = *field.ok_or_else(|| errors::invalid_pagination("sort"))?;
        let tie = if field == "id" { "" } else { ",id" };
        Ok(Self { field, name: format!("{minus}{field}{tie}") })
    }
}
