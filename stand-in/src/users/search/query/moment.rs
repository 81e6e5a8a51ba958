//! Dates in a search.

use crate::clock::Time;

/// Seconds of a day.
const DAY: u32 = 86_400;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Before,
    Until,
    After,
    From,
}

impl Comparison {
    /// Reads an operator, and returns what follows it.
    pub fn read(operation: &str) -> (Self, &str) {
        let operators =
            [("<=", Self::Until), (">=", Self::From), ("<", Self::Before), (">", Self::After), (":", Self::Equal)];
        let mut found = operators.iter().filter_map(|(text, this)| Some((*this, operation.strip_prefix(text)?)));
        found.next().unwrap_or((Self::Equal, operation))
    }
}

/// The moments that a date in a search stands for.
#[derive(Debug)]
pub struct Range {
    /// The first of them, and the first after them; none without an end.
    from: Time,
    to: Option<Time>,
}

impl Range {
    /// Reads a day, all of it, or a second in UTC: `2026-11-21`,
    /// `2026-11-21t10:00:00z`. Other forms, such as `4hours`, exist; what
    /// exactly they mean is not recorded.
    pub fn read(comparison: Comparison, date: &str) -> Option<Self> {
        let at = Time::parse(date.strip_suffix('z').unwrap_or(date).to_uppercase().as_str())?;
        let length = match date.len() {
            10 => DAY,
            19 | 20 => 1,
            _ => return None,
        };
        let end = at.after(length);
        let (from, to) = match comparison {
            Comparison::Equal => (at, Some(end)),
            Comparison::Before => (Time(0), Some(at)),
            Comparison::Until => (Time(0), Some(end)),
            Comparison::After => (end, None),
            Comparison::From => (at, None),
        };
        Some(Self { from, to })
    }

    pub fn contains(&self, time: Time) -> bool {
        self.from <= time && self.to.is_none_or(|to| time < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(operation: &str, time: &str) -> bool {
        let (comparison, date) = Comparison::read(operation);
        let range = Range::read(comparison, date).unwrap_or_else(|| panic!("{operation} is not a date"));
        range.contains(Time::parse(time).expect("a moment"))
    }

    #[test]
    fn a_day_is_all_of_it_and_a_second_is_one() {
        for (operation, before, within, after) in [
            (":2026-01-02", false, true, false),
            ("<2026-01-02", true, false, false),
            ("<=2026-01-02", true, true, false),
            (">2026-01-02", false, false, true),
            (">=2026-01-02", false, true, true),
            (">2026-01-02t12:00:00z", false, false, true),
            (">=2026-01-02t12:00:00", false, true, true),
        ] {
            let found = ["2026-01-01T23:59:59Z", "2026-01-02T12:00:00Z", "2026-01-03T00:00:00Z"]
                .map(|time| finds(operation, time));
            assert_eq!(found, [before, within, after], "{operation}");
        }
    }

    #[test]
    fn other_forms_are_no_dates() {
        for text in ["", "4hours", "2026", "2026-01", "2026-13-01", "2026-01-02t12:00:00+02:00", "yesterday"] {
            assert!(Range::read(Comparison::After, text).is_none(), "{text}");
        }
    }
}
