//! What one credential reads never reaches another.

use tokio::task::JoinSet;

use super::*;

const SEED: u64 = 0x70CE;

fn says(credential: u128, id: i64) -> Bytes {
    Bytes::from(format!("{credential}:{id}"))
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_interleaved_calls_of_two_credentials_never_see_each_others_answers() {
    let cache = cache();
    let batcher =
        cache.batcher(100, |(credential, work, fails): (u128, Duration, bool), ids: Vec<i64>, _| async move {
            sleep(work).await;
            if fails {
                return Err(unavailable());
            }
            Ok(ids.into_iter().map(|id| (id, says(credential, id))).collect())
        });
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut callers = JoinSet::new();
    for call in 0..10_000 {
        let (cache, batcher) = (cache.clone(), batcher.clone());
        let mut random = random.fork();
        callers.spawn(async move {
            sleep(ms(random.u64(0..60_000))).await;
            let (credential, id) = (random.u128(1..=2), random.i64(0..20));
            if random.u8(0..20) == 0 {
                cache.begin_write(&[tag::user(id)]).finish();
            }
            let (work, fails) = (ms(random.u64(0..2_000)), random.u8(0..10) == 0);
            let fetch = move |terms| async move {
                let value = batcher.get(credential, 0, &(credential, work, fails), id, &terms).await?;
                value.ok_or_else(not_found)
            };
            let key = Key::new(credential, "/Get", id.to_be_bytes().to_vec());
            let control = Control { no_cache: random.u8(0..10) == 0, ..PLAIN };
            let answer = cache.read(&key, &record(id), control, within(secs(10)), fetch).await;
            if let Ok(hit) = &answer {
                assert_eq!(hit.bytes, says(credential, id), "call {call} of seed {SEED:#x}");
            }
            answer.is_ok()
        });
    }
    let answered = callers.join_all().await.into_iter().filter(|answered| *answered).count();
    let counts = cache.counts();
    assert!(answered > 9_000 && counts.hits > 1_000 && counts.coalesced > 500, "{answered} answered, {counts:?}");
    assert!(counts.batched_ids > counts.batches.iter().sum(), "{counts:?}");
}
