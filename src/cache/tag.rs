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
enum Aspect {
    Every,
    Collection,
    Record,
    OfUser,
    OfGroup,
}

/// The families of records: what a record's id is the id of, and its tags as operators write them.
///
/// A new kind of record is one line more in `tag/families.rs`.
macro_rules! families {
    ($($(#[$about:meta])* $family:ident of $kind:literal:
        $every:ident = $all:literal, $collection:ident = $lists:literal, $record:ident = $one:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        enum Family {
            $($family,)+
        }

        impl Family {
            /// Returns the kind of record whose id the tags of single records bear.
            const fn kind(self) -> &'static str {
                match self {
                    $(Self::$family => $kind,)+
                }
            }
        }

        /// Tags without an id, by their words.
        const ALONE: &[(&str, fn() -> Tag)] = &[$(($all, $every), ($lists, $collection),)+];
        /// Tags of single records, by the words before their ids.
        const RECORDS: &[(&str, fn(i64) -> Tag)] = &[$(($one, $record),)+];

        $(
            /// Every answer about
            $(#[$about])*
            pub const fn $every() -> Tag {
                Tag::new(Family::$family, Aspect::Every, 0)
            }

            /// Which there are, and in what order a list has them, of
            $(#[$about])*
            pub const fn $collection() -> Tag {
                Tag::new(Family::$family, Aspect::Collection, 0)
            }

            /// One of the
            $(#[$about])*
            pub const fn $record(id: i64) -> Tag {
                Tag::new(Family::$family, Aspect::Record, id)
            }
        )+
    };
}

include!("tag/families.rs");

/// How many slots the tags without an id take.
pub(super) const FIXED_SLOTS: usize = ALONE.len();

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
            (_, Aspect::OfUser) => "user",
            (_, Aspect::OfGroup) => "group",
            (family, Aspect::Record) => family.kind(),
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

    /// Returns a number of the tags and their slots: two builds in which it is the same mean the same by a slot's number.
    pub(super) fn layout() -> u64 {
        let records = RECORDS.iter().copied().chain(text::LISTS).map(|(word, tag)| (word, tag(1)));
        let all = ALONE.iter().map(|(word, tag)| (*word, tag())).chain(records);
        all.fold(SHARED_SLOTS as u64, |layout, (word, tag)| {
            word.bytes().map(u64::from).chain([tag.slot().into()]).fold(layout, |layout, part| mix(layout ^ part))
        })
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

/// Which memberships a user has; the id is the user's.
pub const fn memberships_of_user(id: i64) -> Tag {
    Tag::new(Family::GroupMembership, Aspect::OfUser, id)
}

/// Which memberships a group has; the id is the group's.
pub const fn memberships_of_group(id: i64) -> Tag {
    Tag::new(Family::GroupMembership, Aspect::OfGroup, id)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tags_without_an_id_share_their_epoch_with_no_other_tag() {
        let slots: HashSet<u32> = ALONE.iter().map(|(_, tag)| tag().slot()).collect();
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
