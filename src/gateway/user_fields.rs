//! The account's definitions of user fields, by which values are checked before they are sent.

use std::sync::Arc;
use std::time::Duration;

use super::definitions::next_page_token;
use super::offload::offload;
use super::{Context, Gateway};
use crate::cache::Control;
use crate::error::{Checks, Result};
use crate::proto::ListUserFieldsRequest;
use crate::rest::field_values::{Definitions, Given};
use crate::share::Share;
use crate::turns;

/// Definitions that are older refuse nothing.
const OLDEST: Duration = Duration::from_secs(1);
/// Most values that are checked in one go. A message has room for so many that all of them take tens of milliseconds.
const AT_ONCE: usize = 1000;
/// Most pages of definitions that are read. Of an account that has more, no key is refused as unknown.
const MOST_PAGES: usize = 100;

impl Gateway {
    /// Checks values of user fields, if there are any.
    pub(super) async fn check_user_fields(&self, context: &Context, given: &[Given<'_>]) -> Result<()> {
        if given.is_empty() {
            return Ok(());
        }
        let definitions = self.definitions_for(context, given).await?;
        check(&definitions, given).await
    }

    /// Returns the definitions by which to judge these values: from the cache, unless older ones would refuse a value.
    pub(super) async fn definitions_for(&self, context: &Context, given: &[Given<'_>]) -> Result<Arc<Definitions>> {
        let (definitions, age) = self.ready(context, Control::default(), given).await?;
        if age <= OLDEST || check(&definitions, given).await.is_ok() {
            return Ok(definitions);
        }
        // One reads them anew for all who wait for that.
        let _one = self.user_fields.anew(context.credential.fingerprint()).await;
        let (definitions, age) = self.ready(context, Control::default(), given).await?;
        if age <= OLDEST {
            return Ok(definitions);
        }
        Ok(self.ready(context, Control { no_cache: true, ..Control::default() }, given).await?.0)
    }

    /// Reads all definitions, and makes ready by which patterns these values are judged.
    async fn ready(
        &self,
        context: &Context,
        control: Control,
        given: &[Given<'_>],
    ) -> Result<(Arc<Definitions>, Duration)> {
        let (definitions, age) = self.definitions(context, control).await?;
        make_ready(&definitions, given, context.caller.share()).await?;
        Ok((definitions, age))
    }

    /// Reads all definitions, as `ListUserFields` does. Also returns the age of the oldest page.
    async fn definitions(&self, context: &Context, control: Control) -> Result<(Arc<Definitions>, Duration)> {
        let context = Context { control, ..context.clone() };
        let (mut request, mut pages) = (ListUserFieldsRequest::default(), Vec::new());
        let mut age = Duration::ZERO;
        for _ in 0..MOST_PAGES {
            let page = self.list(&context, &request).await?;
            age = age.max(page.cached.map_or(Duration::ZERO, |(_, age)| age));
            let page = page.message.bytes().clone();
            request.page_token = next_page_token(&page);
            pages.push(page);
            if request.page_token.is_empty() {
                return Ok((self.user_fields.of(pages, true), age));
            }
        }
        Ok((self.user_fields.of(pages, false), age))
    }
}

/// Looks at so many values at a time.
struct InTurns {
    left: usize,
}

impl Default for InTurns {
    fn default() -> Self {
        Self { left: AT_ONCE }
    }
}

impl InTurns {
    /// Lets others go first where so many more would be too many in one go.
    async fn begin(&mut self, number: usize) {
        if number > self.left {
            turns::after_the_others().await;
            self.left = AT_ONCE;
        }
        self.left -= number;
    }
}

/// Makes ready by which patterns values are judged: each beside the workers, because it can take milliseconds, and by turns with other
/// callers' long work.
async fn make_ready(definitions: &Arc<Definitions>, given: &[Given<'_>], share: &Share) -> Result<()> {
    let mut turns = InTurns::default();
    for part in given.iter().flat_map(|given| given.parts(AT_ONCE)) {
        turns.begin(part.number()).await;
        for key in definitions.unready(&part) {
            let (definitions, key) = (Arc::clone(definitions), key.to_owned());
            let work = move || {
                definitions.make_ready(&key);
                Ok(())
            };
            offload(share, work).await?;
        }
    }
    Ok(())
}

/// Checks values by definitions, and lets others go first in between.
async fn check(definitions: &Definitions, given: &[Given<'_>]) -> Result<()> {
    let (mut checks, mut turns) = (Checks::default(), InTurns::default());
    for part in given.iter().flat_map(|given| given.parts(AT_ONCE)) {
        turns.begin(part.number()).await;
        checks.take(definitions.check(&[part]));
    }
    checks.end(Some(()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::proto::{UserField, UserFieldType, UserInput};
    use crate::rest::field_values::given;

    /// Counts how often others have had their turn.
    fn rounds() -> Arc<AtomicUsize> {
        let rounds = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&rounds);
        tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        rounds
    }

    #[tokio::test]
    async fn others_go_on_while_patterns_are_made_ready() {
        const FIELDS: usize = 20;
        let key = |number| format!("f{number}");
        let words: Vec<String> = (0..450).map(|number| format!("k{number}x{number}")).collect();
        let field = |number| UserField {
            key: Some(key(number)),
            r#type: Some(UserFieldType::Regexp.into()),
            regexp_for_validation: Some(format!("{}|{number}", words.join("|"))),
            ..UserField::default()
        };
        let definitions = Arc::new(Definitions::of((0..FIELDS).map(field).collect(), true));
        let value = || prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("k7x7".to_owned())) };
        let fields = (0..FIELDS).map(|number| (key(number), value())).collect();
        let user = UserInput { user_fields: Some(prost_types::Struct { fields }), ..UserInput::default() };
        let given = [given(true, Some(&user), None, || "user".to_owned()).expect("some")];
        assert_eq!(definitions.unready(&given[0]).count(), FIELDS);
        let rounds = rounds();
        let before = rounds.load(Ordering::Relaxed);
        make_ready(&definitions, &given, &Share::default()).await.expect("they are made");
        assert!(rounds.load(Ordering::Relaxed) - before > 10 * FIELDS);
        assert_eq!(definitions.unready(&given[0]).count(), 0);
        check(&definitions, &given).await.expect("all match");
    }

    #[tokio::test]
    async fn others_go_on_while_many_values_are_checked() {
        const PARTS: usize = 20;
        let value = || prost_types::Value { kind: Some(prost_types::value::Kind::BoolValue(true)) };
        let fields = (0..AT_ONCE * PARTS).map(|number| (format!("f{number}"), value())).collect();
        let user = UserInput { user_fields: Some(prost_types::Struct { fields }), ..UserInput::default() };
        let given = given(true, Some(&user), None, || "user".to_owned()).expect("some");
        let rounds = rounds();
        let whole = Definitions::of(Vec::new(), true);
        assert!(check(&whole, std::slice::from_ref(&given)).await.is_err(), "none of them is known");
        let before = rounds.load(Ordering::Relaxed);
        check(&Definitions::of(Vec::new(), false), &[given]).await.expect("what is not known refuses nothing");
        assert!(rounds.load(Ordering::Relaxed) - before >= PARTS - 1);
    }
}
