//! Collects what is wrong with a request, so that its caller is told everything at once.

use super::{Error, Result, Violation};

/// Most wrong fields that are kept; a status has room for fewer.
const MOST: usize = 1000;

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Checks(Option<Error>);

impl Checks {
    /// Returns what a check yields, or keeps what it refuses.
    pub fn take<T>(&mut self, outcome: Result<T>) -> Option<T> {
        outcome.map_err(|error| self.keep(error)).ok()
    }

    /// Refuses a field.
    pub fn refuse(&mut self, field: &str, problem: &str) {
        self.keep(Error::invalid(field, problem));
    }

    fn keep(&mut self, error: Error) {
        match (&mut self.0, error) {
            (
                Some(Error::Invalid { field, problem, more }),
                Error::Invalid { field: other, problem: its, more: others },
            ) => {
                let is_new = |one: &Violation| one.field != *field || one.description != *problem;
                let all = [Violation::of(other, its)].into_iter().chain(others).filter(is_new);
                more.extend(all.take(MOST.saturating_sub(more.len())));
            }
            // What is not about single fields is told alone.
            (Some(_), _) => {}
            (none, error) => *none = Some(error),
        }
    }

    /// Returns what was made of the request.
    ///
    /// # Errors
    /// All that was refused.
    ///
    /// # Panics
    /// If nothing was made, though nothing was refused.
    pub fn end<T>(self, made: Option<T>) -> Result<T> {
        match self.0 {
            Some(error) => Err(error),
            None => Ok(made.expect("what was not made was refused")),
        }
    }
}

impl Error {
    /// Returns the same error about a field that has another path in the whole request.
    #[must_use]
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        if let Self::Invalid { field, more, .. } = &mut self {
            let fields = [field].into_iter().chain(more.iter_mut().map(|more| &mut more.field));
            fields.filter(|field| *field == from).for_each(|field| to.clone_into(field));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let mut checks = Checks::default();
        assert_eq!(checks.take(Ok(7)), Some(7));
        assert_eq!(checks.take(Err::<(), _>(Error::invalid("id", "must be a positive id"))), None);
        checks.refuse("name", "must not be empty");
        checks.refuse("id", "must be a positive id");
        let mut inner = Checks::default();
        inner.refuse("a", "is wrong");
        inner.refuse("b", "is wrong");
        checks.take(inner.end(Some(())));
        let error = checks.end(Some(())).expect_err("much is wrong");
        assert_eq!(error.to_string(), "id must be a positive id, and 3 more: see the BadRequest");
        let Error::Invalid { more, .. } = error else { panic!("{error}") };
        assert_eq!(more.iter().map(|more| more.field.as_str()).collect::<Vec<_>>(), ["name", "a", "b"]);
    }
}
