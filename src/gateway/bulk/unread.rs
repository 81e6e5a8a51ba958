//! Which results of a job cannot be read.

use std::collections::HashSet;

use crate::proto::Job;

/// The results that prove nothing, because they or a value in them cannot be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many results are no objects.
    no_objects: usize,
    /// Positions of results of which a value cannot be read.
    partial: HashSet<usize>,
}

impl Unread {
    /// Returns the results of a job that cannot be read; none if it is not known which they are. The fields that only explain a
    /// failure do not count.
    pub fn of(job: &Job) -> Option<Self> {
        let (mut no_objects, mut partial) = (HashSet::new(), HashSet::new());
        for path in job.unreadable_fields.iter().filter_map(|path| path.strip_prefix("results")) {
            let (position, field) = match path.strip_prefix('[').and_then(|path| path.split_once(']')) {
                Some((position, field)) => (position.parse().ok()?, field),
                // One object stands in place of the list.
                None if path.starts_with('.') => (0, path),
                None => return None,
            };
            match field {
                "" => drop(no_objects.insert(position)),
                ".details" | ".title" => {}
                _ => drop(partial.insert(position)),
            }
        }
        Some(Self { no_objects: no_objects.len(), partial })
    }

    /// True if every result was read.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// True if a value of the result at this position cannot be read.
    pub fn has(&self, position: usize) -> bool {
        self.partial.contains(&position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(paths: &[&str]) -> Option<Unread> {
        let unreadable_fields = paths.iter().map(|path| (*path).to_owned()).collect();
        Unread::of(&Job { unreadable_fields, ..Job::default() })
    }

    #[test]
    fn what_cannot_be_read_is_found_by_its_position() {
        let some = unread(&["results[1]", "results[3].success", "results[0].details", "progress"]).expect("known");
        assert_eq!((some.no_objects, some.has(2), some.has(3), some.is_none()), (1, false, true, false));
        assert!(unread(&["results.success"]).expect("one object").has(0));
        assert!(unread(&["results[0].title", "message"]).expect("known").is_none());
        assert_eq!(unread(&["results"]), None);
    }
}
