//! What an answer is about, so that a write can name the answers that it makes untrue.
//!
//! An answer carries tags, a write moves tags. Tags belong to the account, not to a credential: what one caller changes is
//! changed for all. Beside the tag for one record there is one for a *collection*, which lists, searches and counts carry
//! because any write may change what is in them, and one for *every* answer of a family, for writes that cannot say which
//! records they touch.

mod text;

pub use text::NoTag;

/// Something that answers are about and writes change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    family: Family,
    aspect: Aspect,
    id: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Family {
    User,
    DeletedUser,
    Group,
    Membership,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Aspect {
    Every,
    Collection,
    Record,
    OfUser,
    OfGroup,
}

/// How many slots the tags without an id take: two for each family.
pub(super) const FIXED_SLOTS: usize = 8;

/// How many slots the tags with an id share. A collision moves an answer's epoch without need, which costs one upstream
/// call and never a wrong answer; at this size a write has one chance in 16,384 to do so to a given record.
pub(super) const SHARED_SLOTS: usize = 1 << 14;

impl Tag {
    const fn new(family: Family, aspect: Aspect, id: i64) -> Self {
        Self { family, aspect, id }
    }

    /// Returns the kind and the id of the one record that the tag is about.
    pub fn record(self) -> Option<(&'static str, i64)> {
        let kind = match (self.family, self.aspect) {
            (_, Aspect::Every | Aspect::Collection) => return None,
            (_, Aspect::OfUser) | (Family::User | Family::DeletedUser, _) => "user",
            (_, Aspect::OfGroup) | (Family::Group, _) => "group",
            (Family::Membership, Aspect::Record) => "membership",
        };
        Some((kind, self.id))
    }

    /// Returns the place of this tag's epoch. Tags without an id have one each, for every write moves one of them.
    pub(super) fn slot(self) -> u32 {
        let family = self.family as u64;
        let slot = match self.aspect {
            Aspect::Every => family * 2,
            Aspect::Collection => family * 2 + 1,
            aspect => {
                let what = (family << 3 | aspect as u64) << 56;
                FIXED_SLOTS as u64 + mix(self.id.cast_unsigned() ^ what) % SHARED_SLOTS as u64
            }
        };
        u32::try_from(slot).expect("there are fewer slots than a u32 can count")
    }

    /// Returns the place of the epoch that [`every_user`] and its like move.
    pub(super) fn family_slot(self) -> u32 {
        Self::new(self.family, Aspect::Every, 0).slot()
    }
}

/// Spreads ids, which come in runs, over all bits (the finalizer of splitmix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// One user.
pub const fn user(id: i64) -> Tag {
    Tag::new(Family::User, Aspect::Record, id)
}

/// Which users there are, and in what order a list has them.
pub const fn users() -> Tag {
    Tag::new(Family::User, Aspect::Collection, 0)
}

/// Every answer about users.
pub const fn every_user() -> Tag {
    Tag::new(Family::User, Aspect::Every, 0)
}

/// One deleted user.
pub const fn deleted_user(id: i64) -> Tag {
    Tag::new(Family::DeletedUser, Aspect::Record, id)
}

/// Which deleted users there are.
pub const fn deleted_users() -> Tag {
    Tag::new(Family::DeletedUser, Aspect::Collection, 0)
}

/// Every answer about deleted users.
pub const fn every_deleted_user() -> Tag {
    Tag::new(Family::DeletedUser, Aspect::Every, 0)
}

/// One group.
pub const fn group(id: i64) -> Tag {
    Tag::new(Family::Group, Aspect::Record, id)
}

/// Which groups there are.
pub const fn groups() -> Tag {
    Tag::new(Family::Group, Aspect::Collection, 0)
}

/// Every answer about groups.
pub const fn every_group() -> Tag {
    Tag::new(Family::Group, Aspect::Every, 0)
}

/// One membership.
pub const fn membership(id: i64) -> Tag {
    Tag::new(Family::Membership, Aspect::Record, id)
}

/// Which memberships a user has; the id is the user's.
pub const fn memberships_of_user(id: i64) -> Tag {
    Tag::new(Family::Membership, Aspect::OfUser, id)
}

/// Which memberships a group has; the id is the group's.
pub const fn memberships_of_group(id: i64) -> Tag {
    Tag::new(Family::Membership, Aspect::OfGroup, id)
}

/// Which memberships there are.
pub const fn memberships() -> Tag {
    Tag::new(Family::Membership, Aspect::Collection, 0)
}

/// Every answer about memberships.
pub const fn every_membership() -> Tag {
    Tag::new(Family::Membership, Aspect::Every, 0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tags_without_an_id_share_their_epoch_with_no_other_tag() {
        let fixed = [
            users(),
            every_user(),
            deleted_users(),
            every_deleted_user(),
            groups(),
            every_group(),
            memberships(),
            every_membership(),
        ];
        let slots: HashSet<u32> = fixed.iter().map(|tag| tag.slot()).collect();
        assert_eq!(slots.len(), FIXED_SLOTS);
        assert!(slots.iter().all(|slot| (*slot as usize) < FIXED_SLOTS));
        for id in (-5..5).chain(6_100_000_000_000..6_100_000_001_000) {
            for tag in [user(id), deleted_user(id), group(id), memberships_of_user(id), memberships_of_group(id)] {
                assert!((FIXED_SLOTS..FIXED_SLOTS + SHARED_SLOTS).contains(&(tag.slot() as usize)));
            }
        }
    }

    #[test]
    fn ids_in_a_run_and_tags_with_the_same_id_are_spread_over_the_slots() {
        let run: HashSet<u32> = (6_100_000_000_000..6_100_000_001_000).map(|id| user(id).slot()).collect();
        assert!(run.len() > 950, "1,000 ids fall on {} slots", run.len());
        let same: HashSet<u32> =
            [user(7), deleted_user(7), group(7), membership(7), memberships_of_user(7), memberships_of_group(7)]
                .iter()
                .map(|tag| tag.slot())
                .collect();
        assert_eq!(same.len(), 6);
    }
}
