//! Property tests: whatever happens to the results on their way, each outcome is true or UNKNOWN.

use proptest::prelude::*;

use super::*;

/// The kinds of jobs, told apart also by what their inputs are and what identifies them.
#[derive(Debug, Clone, Copy)]
enum Sort {
    CreatedUsers,
    CreatedMemberships,
    Upserts,
    UpdatesById,
    UpdatesByExternalId,
    DeletionsById,
    DeletionsByExternalId,
}

/// One input, what became of it, and what a job says about it.
#[derive(Debug, Clone)]
struct Input {
    key: Key,
    end: BulkResult,
    id: i64,
    result: JobResult,
}

/// How the results of a job get lost, doubled and out of order.
#[derive(Debug, Clone)]
struct Journey {
    dropped: Vec<bool>,
    doubled: Vec<bool>,
    /// Keys to sort by.
    order: Vec<u32>,
}

fn input(sort: Sort, position: usize, id: i64, seed: u8) -> Input {
    let kind = sort.kind();
    let email = (seed & 1 == 1).then(|| format!("u{position}@x.example"));
    let external_id = (seed & 2 == 2).then(|| format!("Ext-{position}"));
    let key = match sort {
        Sort::CreatedUsers => Key { id: None, email, external_id },
        Sort::CreatedMemberships => Key::default(),
        Sort::Upserts if email.is_none() => Key { external_id: Some(format!("Ext-{position}")), ..Key::default() },
        Sort::Upserts => Key { id: None, email, external_id },
        Sort::UpdatesById | Sort::DeletionsById => Key { id: Some(id), ..Key::default() },
        Sort::UpdatesByExternalId | Sort::DeletionsByExternalId => {
            Key { external_id: Some(format!("Ext-{position}")), ..Key::default() }
        }
    };
    let end = match (seed >> 2, kind) {
        (0, _) => BulkResult::Failed,
        (1, Kind::CreateOrUpdate) | (_, Kind::Create) => BulkResult::Created,
        (_, Kind::CreateOrUpdate | Kind::Update) => BulkResult::Updated,
        (_, Kind::Delete) => BulkResult::Deleted,
    };
    let index = i64::try_from(position).ok();
    let text = |text: &str| Some(text.to_owned());
    let (status, action) = match end {
        BulkResult::Created => (text("Created"), None),
        BulkResult::Updated => (text("Updated"), text("update")),
        BulkResult::Deleted => (text("Deleted"), text("delete")),
        _ => (None, None),
    };
    let failure = JobResult { error: text("E"), details: text("d"), ..JobResult::default() };
    let success = JobResult { id: Some(id), status, ..JobResult::default() };
    let result = match (end, sort) {
        (BulkResult::Failed, Sort::Upserts) => JobResult { id: index, status: text("Failed"), ..failure },
        (BulkResult::Failed, _) => JobResult { index, id: key.id, ..failure },
        (_, Sort::CreatedMemberships) => JobResult { index, ..success },
        (_, Sort::CreatedUsers) => success,
        (_, Sort::Upserts) => JobResult { email: key.email.clone(), ..success },
        _ => JobResult { action, success: Some(true), ..success },
    };
    Input { key, end, id, result }
}

impl Sort {
    fn kind(self) -> Kind {
        match self {
            Self::CreatedUsers | Self::CreatedMemberships => Kind::Create,
            Self::Upserts => Kind::CreateOrUpdate,
            Self::UpdatesById | Self::UpdatesByExternalId => Kind::Update,
            Self::DeletionsById | Self::DeletionsByExternalId => Kind::Delete,
        }
    }
}

fn sort() -> impl Strategy<Value = Sort> {
    prop::sample::select(vec![
        Sort::CreatedUsers,
        Sort::CreatedMemberships,
        Sort::Upserts,
        Sort::UpdatesById,
        Sort::UpdatesByExternalId,
        Sort::DeletionsById,
        Sort::DeletionsByExternalId,
    ])
}

/// A job's inputs: at times all with an e-mail address, and with ids that are all different and at times so small that
/// they could be mistaken for positions.
fn inputs() -> impl Strategy<Value = (Sort, Vec<Input>)> {
    let ids = prop::collection::hash_set(prop_oneof![1_i64..30, any::<u32>().prop_map(i64::from)], 1..12);
    let ids = ids.prop_filter("ids are positive", |ids| ids.iter().all(|id| *id > 0));
    (sort(), ids, prop::collection::vec(0_u8..20, 12), any::<bool>()).prop_map(|(sort, ids, seeds, with_email)| {
        let inputs = ids.into_iter().zip(seeds).enumerate();
        (sort, inputs.map(|(position, (id, seed))| input(sort, position, id, seed | u8::from(with_email))).collect())
    })
}

fn journey() -> impl Strategy<Value = Journey> {
    let flags = || prop::collection::vec(prop::bool::weighted(0.15), 12);
    (flags(), flags(), prop::collection::vec(any::<u32>(), 24)).prop_map(|(dropped, doubled, order)| Journey {
        dropped,
        doubled,
        order,
    })
}

fn told(sort: Sort, inputs: &[Input], results: Vec<JobResult>) -> Vec<BulkItemOutcome> {
    let mut job = Job { id: "V3-1".to_owned(), results, ..Job::default() };
    job.set_status(JobState::Completed);
    let keys: Vec<Key> = inputs.iter().map(|input| input.key.clone()).collect();
    let indices: Vec<i64> = (0..).take(keys.len()).collect();
    of_job(sort.kind(), &job, &job.results, &Items { first: 0, rows: 0, indices, keys })
}

proptest! {
    #[test]
    fn an_outcome_is_true_or_unknown((sort, inputs) in inputs(), journey in journey()) {
        let mut results = Vec::new();
        for (position, input) in inputs.iter().enumerate() {
            let copies = usize::from(!journey.dropped[position]) + usize::from(journey.doubled[position]);
            results.extend(std::iter::repeat_n(input.result.clone(), copies));
        }
        // That upserts without an address come in the order of the request has to be assumed.
        let is_named = |input: &Input| input.key.email.is_some();
        let is_shuffled = !matches!(sort, Sort::Upserts) || inputs.iter().all(is_named);
        if is_shuffled {
            let mut keyed: Vec<_> = results.into_iter().zip(&journey.order).collect();
            keyed.sort_by_key(|(_, key)| **key);
            results = keyed.into_iter().map(|(result, _)| result).collect();
        }
        let outcomes = told(sort, &inputs, results.clone());
        prop_assert_eq!(outcomes.len(), inputs.len());
        for (outcome, input) in outcomes.iter().zip(&inputs) {
            let is_true = outcome.result() == input.end;
            prop_assert!(is_true || outcome.result() == BulkResult::Unknown, "{:?}: {:?}", input, outcome);
            let wrong_id = outcome.id.is_some_and(|id| id != input.id);
            prop_assert!(!wrong_id, "{:?}: {:?}", input, outcome);
        }
    }

    #[test]
    fn nothing_is_unknown_of_a_job_that_reports_as_it_should((sort, inputs) in inputs(), journey in journey()) {
        let mut results: Vec<JobResult> = inputs.iter().map(|input| input.result.clone()).collect();
        if !matches!(sort, Sort::Upserts) {
            let mut keyed: Vec<_> = results.into_iter().zip(&journey.order).collect();
            keyed.sort_by_key(|(_, key)| **key);
            results = keyed.into_iter().map(|(result, _)| result).collect();
        }
        for (outcome, input) in told(sort, &inputs, results).iter().zip(&inputs) {
            prop_assert_eq!(outcome.result(), input.end, "{:?}: {:?}", input, outcome);
        }
    }
}
