//! What the results of an ended job prove about each of its inputs.
//!
//! No two kinds of job report alike: created users come in no order and with nothing but an id, memberships by index,
//! updates and deletions by id, upserts by e-mail address where there is one, failures by index, and some jobs answer with
//! one object for all. Results may also be missing, repeated, or contradict each other. So how an input ended is reported
//! only if one of these proves it:
//!
//! 1. **A name**: the result names the input, by index, id, e-mail address or external id. If the job has only one input, each
//!    result is about it that does not contradict it.
//! 2. **The order**, for upserts only: see [`by_order`].
//! 3. **A count**: there are as many results that name no input as inputs that no result names, and all these results say
//!    the same.
//! 4. **The whole job**: a deletion answers `{"success":true}` for all.

use std::collections::HashSet;

use super::unread::Unread;
use crate::proto::{BulkResult, Job, JobResult, JobState};
use crate::rest::bulk::{Key, Kind, has_failed};

/// What is proven about one input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evidence<'a> {
    /// Nothing.
    None,
    /// How it ended, but not which result is its own.
    End(BulkResult),
    /// How it ended, by its own result.
    Result(BulkResult, &'a JobResult),
}

/// One result, and what it says about which input.
struct Claim<'a> {
    result: &'a JobResult,
    /// How its input ended, if the result says so clearly.
    end: Option<BulkResult>,
    names: Names,
}

/// Which input a result names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Nobody,
    Input(usize),
    /// Several inputs, or one that the job does not have: the result contradicts itself or the request.
    Contradiction(Vec<usize>),
}

/// Returns what an ended job proves about each input. `results` are those of the job, perhaps with more of what identifies their
/// records. A result of which a value cannot be read proves nothing about the input that it
/// names. If there is any result that cannot be read, nothing is proven by the order, by a count or for the whole job: it may be
/// about any input.
pub fn of_job<'a>(kind: Kind, job: &Job, results: &'a [JobResult], keys: &[Key], unread: &Unread) -> Vec<Evidence<'a>> {
    let completed = job.status() == JobState::Completed;
    let is_whole = unread.is_none();
    if completed && is_whole && kind == Kind::Delete && keys.len() > 1 && is_success_of_all(results) {
        return vec![Evidence::End(BulkResult::Deleted); keys.len()];
    }
    if !is_whole && keys.len() == 1 {
        // Whatever cannot be read was about this input.
        return vec![Evidence::None];
    }
    let claim = |(at, result)| Claim::read(kind, result, keys, completed, unread.has(at));
    let readable = results.iter().enumerate().filter(|(_, result)| result.raw.is_none());
    let claims: Vec<Claim> = readable.map(claim).collect();
    if completed && is_whole && kind == Kind::CreateOrUpdate && in_order(&claims, keys) {
        return by_order(&claims);
    }
    let (mut evidence, open, mut consistent) = by_name(&claims, keys);
    if kind == Kind::Create {
        // A record that a result names as one input's is no other's.
        let of_inputs = claims.iter().filter(|claim| matches!(claim.names, Names::Input(_)));
        let named: HashSet<_> = of_inputs.filter_map(|claim| claim.result.id).collect();
        let is_named = |claim: &Claim| claim.result.id.is_some_and(|id| named.contains(&id));
        let repeats = claims.iter().any(|claim| claim.names == Names::Nobody && is_named(claim));
        consistent &= !forget_shared_ids(&mut evidence) && !repeats;
    }
    // Counting needs all results: a job that did not complete may have left out any input, and a contradiction may hide one.
    if completed && is_whole && consistent {
        by_count(&claims, keys, &open, &mut evidence);
    }
    evidence
}

/// True if `{"success":true}` stands in place of the results, which answers for all inputs. In a list it would be one of them.
fn is_success_of_all(results: &[JobResult]) -> bool {
    let of_all = JobResult { success: Some(true), of_all: Some(true), ..JobResult::default() };
    matches!(results, [only] if *only == of_all)
}

impl<'a> Claim<'a> {
    fn read(kind: Kind, result: &'a JobResult, keys: &[Key], completed: bool, is_partial: bool) -> Self {
        let end = if is_partial { None } else { kind.end(result, completed) };
        Self { result, end, names: names(kind, result, keys) }
    }

    fn evidence(&self) -> Evidence<'a> {
        self.end.map_or(Evidence::None, |end| Evidence::Result(end, self.result))
    }
}

/// Finds the input that a result names.
fn names(kind: Kind, result: &JobResult, keys: &[Key]) -> Names {
    let mut named: Vec<usize> = Vec::new();
    let mut is_foreign = false;
    if let Some(index) = result.index {
        match position(index, keys) {
            Some(position) => named.push(position),
            None => is_foreign = true,
        }
    }
    if let Some(id) = result.id {
        // Failed upserts give the position as "id". One that can be either names two inputs, unless they are the same.
        let may_be_position = kind == Kind::CreateOrUpdate && has_failed(result);
        let (by_id, by_position) =
            (only(keys, |key| key.id == Some(id)), position(id, keys).filter(|_| may_be_position));
        is_foreign |= by_id.or(by_position).is_none() && !keys.is_empty() && keys.iter().all(|key| key.id.is_some());
        named.extend(by_id.into_iter().chain(by_position));
    }
    // An address that no input has is no contradiction: Zendesk reports a user found by a secondary address with the
    // primary one.
    named.extend(only(keys, |key| is_same(key.email.as_deref(), result.email.as_deref())));
    named.extend(only(keys, |key| is_same(key.external_id.as_deref(), result.external_id.as_deref())));
    named.sort_unstable();
    named.dedup();
    match named.as_slice() {
        _ if is_foreign => Names::Contradiction(named),
        [] if keys.len() == 1 && fits(result, &keys[0]) => Names::Input(0),
        [] => Names::Nobody,
        [one] => Names::Input(*one),
        _ => Names::Contradiction(named),
    }
}

fn position(number: i64, keys: &[Key]) -> Option<usize> {
    usize::try_from(number).ok().filter(|position| *position < keys.len())
}

/// Returns the position of the input that fits; none if none or several do.
fn only(keys: &[Key], is_meant: impl Fn(&Key) -> bool) -> Option<usize> {
    let mut found = keys.iter().enumerate().filter(|(_, key)| is_meant(key)).map(|(position, _)| position);
    found.next().filter(|_| found.next().is_none())
}

/// True if both texts are set and equal but for case and outer spaces: Zendesk ignores the case of addresses and external ids.
fn is_same(mine: Option<&str>, theirs: Option<&str>) -> bool {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) => mine.trim().to_lowercase() == theirs.trim().to_lowercase(),
        _ => false,
    }
}

/// True if a result that does not name an input can be about it: no field that both have differs.
fn fits(result: &JobResult, key: &Key) -> bool {
    let text = |mine: &Option<String>, theirs: &Option<String>| {
        mine.is_none() || theirs.is_none() || is_same(mine.as_deref(), theirs.as_deref())
    };
    let id = key.id.is_none() || result.id.is_none() || key.id == result.id;
    id && text(&key.email, &result.email) && text(&key.external_id, &result.external_id)
}

/// True if the results of an upsert can be read by their order.
///
/// There must be as many results as inputs, all different, and a result that names an input must stand at that input's
/// position. A result without an id must name its input, or it could be a repetition. A result may have an address that
/// differs from its input's: the primary address of a user who was found by a secondary one. Such a user was not created,
/// and some other result must name its input and so show that the order holds. No external id may differ, and no id of an input
/// that has one.
fn in_order(claims: &[Claim], keys: &[Key]) -> bool {
    let mut ids = HashSet::new();
    let by_another_address = |(claim, key): &(&Claim, &Key)| {
        let (mine, theirs) = (key.email.as_deref(), claim.result.email.as_deref());
        mine.is_some() && theirs.is_some() && !is_same(mine, theirs)
    };
    let another_external_id = |(claim, key): (&Claim, &Key)| {
        let (mine, theirs) = (key.external_id.as_deref(), claim.result.external_id.as_deref());
        mine.is_some() && theirs.is_some() && !is_same(mine, theirs)
    };
    let another_id = |(claim, key): (&Claim, &Key)| {
        let is_other = key.id.is_some() && claim.result.id.is_some() && key.id != claim.result.id;
        is_other && !has_failed(claim.result)
    };
    if claims.iter().zip(keys).any(|pair| another_external_id(pair) || another_id(pair)) {
        return false;
    }
    let mut others = claims.iter().zip(keys).filter(by_another_address).peekable();
    let proven = others.peek().is_none() || claims.iter().any(|claim| matches!(claim.names, Names::Input(_)));
    proven
        && others.all(|(claim, _)| claim.end != Some(BulkResult::Created))
        && claims.len() == keys.len()
        && claims.iter().enumerate().all(|(position, claim)| match (&claim.names, claim.result.id) {
            (Names::Input(named), _) if *named != position => false,
            (Names::Contradiction(_), _) | (Names::Nobody, None) => false,
            _ if has_failed(claim.result) => claim.names == Names::Input(position),
            (_, Some(id)) => ids.insert(id),
            (Names::Input(_), None) => true,
        })
}

/// Takes the results of an upsert in the order of the request.
///
/// **Assumption**: `create_or_update_many` reports in the order of the request. The vendor documents no order, and one article
/// of its community shows this one. Results of this job name at most an address, so for users who are identified by an
/// external id only the order is left.
fn by_order<'a>(claims: &[Claim<'a>]) -> Vec<Evidence<'a>> {
    claims.iter().map(Claim::evidence).collect()
}

/// Gives each input the result that names it. Also returns the inputs that no result names, and whether the results are
/// free of contradictions.
fn by_name<'a>(claims: &[Claim<'a>], keys: &[Key]) -> (Vec<Evidence<'a>>, Vec<usize>, bool) {
    let mut of_inputs: Vec<Vec<&Claim<'a>>> = keys.iter().map(|_| Vec::new()).collect();
    let mut contested: HashSet<usize> = HashSet::new();
    let mut consistent = true;
    for claim in claims {
        match &claim.names {
            Names::Nobody => {}
            Names::Input(position) => of_inputs[*position].push(claim),
            Names::Contradiction(positions) => {
                consistent = false;
                contested.extend(positions);
            }
        }
    }
    let mut evidence = vec![Evidence::None; keys.len()];
    for (position, claims) in of_inputs.iter().enumerate() {
        let Some((first, others)) = claims.split_first() else { continue };
        // Zendesk may repeat a result, or report two different ends of one input.
        let agree = others.iter().all(|other| other.end == first.end && other.result.id == first.result.id);
        consistent &= agree;
        if agree && !contested.contains(&position) {
            evidence[position] = first.evidence();
        }
    }
    let is_open = |position: &usize| of_inputs[*position].is_empty() && !contested.contains(position);
    (evidence, (0..keys.len()).filter(is_open).collect(), consistent)
}

/// Clears the evidence of created inputs that share one id: one record cannot come from two inputs. Returns whether there
/// were any.
fn forget_shared_ids(evidence: &mut [Evidence<'_>]) -> bool {
    let id = |evidence: &Evidence<'_>| match evidence {
        Evidence::Result(BulkResult::Created, result) => result.id,
        _ => None,
    };
    let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
    shared.extend(evidence.iter().filter_map(id).filter(|id| !seen.insert(*id)));
    let shares = |evidence: &&mut Evidence<'_>| id(evidence).is_some_and(|id| shared.contains(&id));
    evidence.iter_mut().filter(shares).for_each(|evidence| *evidence = Evidence::None);
    !shared.is_empty()
}

/// Proves ends by a count: if as many results name no input as inputs are `open`, and all these results say the same, each
/// of these inputs ended so. Only ids tell equal results apart: a result without an id makes the count void, and repeated
/// ids count once. Failures prove nothing by count.
fn by_count<'a>(claims: &[Claim<'a>], keys: &[Key], open: &[usize], evidence: &mut [Evidence<'a>]) {
    let mut left: Vec<&Claim<'a>> = claims.iter().filter(|claim| claim.names == Names::Nobody).collect();
    let mut ids = HashSet::new();
    let all_have_ids = left.iter().all(|claim| claim.result.id.is_some());
    let Some(end) = left.first().and_then(|claim| claim.end).filter(|end| *end != BulkResult::Failed) else { return };
    let all_say_so = left.iter().all(|claim| claim.end == Some(end));
    let fit = |claim: &&Claim| open.iter().all(|position| fits(claim.result, &keys[*position]));
    if !all_have_ids || !all_say_so || !left.iter().all(fit) {
        return;
    }
    left.retain(|claim| ids.insert(claim.result.id));
    if left.len() != open.len() {
        return;
    }
    for position in open {
        evidence[*position] = match left.as_slice() {
            [only] => only.evidence(),
            _ => Evidence::End(end),
        };
    }
}
