//! The difference between the present memberships and the wanted ones.

use std::collections::{HashMap, HashSet};

use super::list::Side;
use crate::error::Result;
use crate::proto::{GroupMembership, GroupMembershipInput, MembershipPlan};
use crate::rest::many::{at_most, positive};

/// The changes to write.
#[derive(Debug)]
pub struct Difference {
    unchanged: Vec<i64>,
    /// Whom to add: the id on the other side, and the membership to create.
    pub adds: Vec<(i64, GroupMembershipInput)>,
    /// Whom to remove: the id on the other side, and the membership to delete.
    pub removes: Vec<(i64, i64)>,
}

impl Difference {
    /// Compares the wanted ids with the present memberships.
    pub fn between(wanted: &[i64], present: &[GroupMembership], side: Side) -> Self {
        let held: HashMap<i64, i64> = present.iter().filter_map(|row| Some((side.other(row)?, row.id))).collect();
        let keep: HashSet<i64> = wanted.iter().copied().collect();
        let (unchanged, adds): (Vec<i64>, Vec<i64>) = wanted.iter().partition(|id| held.contains_key(id));
        let others = present.iter().filter_map(|row| Some((side.other(row)?, row.id)));
        Self {
            unchanged,
            adds: adds.into_iter().map(|id| (id, side.input(id))).collect(),
            removes: others.filter(|(id, _)| !keep.contains(id)).collect(),
        }
    }

    /// Returns the difference as the contract's message.
    pub fn plan(&self) -> MembershipPlan {
        MembershipPlan {
            adds: self.adds.iter().map(|(id, _)| *id).collect(),
            removes: self.removes().collect(),
            unchanged: self.unchanged.clone(),
        }
    }

    /// Returns the ids on the other side to remove.
    pub fn removes(&self) -> impl Iterator<Item = i64> {
        self.removes.iter().map(|(id, _)| *id)
    }
}

/// Checks the wanted ids, of which there may be only so many, and removes duplicates.
pub fn wanted(field: &str, ids: Vec<i64>) -> Result<Vec<i64>> {
    at_most(field, &ids)?;
    positive(field, &ids)?;
    let mut seen = HashSet::new();
    Ok(ids.into_iter().filter(|id| seen.insert(*id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_list_that_is_set_as_a_whole_has_the_limit_of_all_lists() {
        assert_eq!(wanted("group_ids", vec![7, 5, 7]).expect("twice counts once"), [7, 5]);
        assert!(wanted("group_ids", (1..=10_000).collect()).is_ok());
        for wrong in [(1..=10_001).collect(), vec![7; 10_001], vec![3, 0]] {
            let error = wanted("group_ids", wrong).expect_err("too many, or no id");
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
        }
    }
}
