//! The account's definitions of user fields, by which values are checked before they are sent.

use std::sync::Arc;
use std::time::Duration;

use super::definitions::next_page_token;
use super::{Context, Gateway};
use crate::cache::Control;
use crate::error::Result;
use crate::proto::ListUserFieldsRequest;
use crate::rest::field_values::{Definitions, Given};

/// Definitions that are older refuse nothing.
const OLDEST: Duration = Duration::from_secs(1);
/// Most pages of definitions that are read. Of an account that has more, no key is refused as unknown.
const MOST_PAGES: usize = 100;

impl Gateway {
    /// Checks values of user fields, if there are any.
    pub(super) async fn check_user_fields(&self, context: &Context, given: &[Given<'_>]) -> Result<()> {
        if given.is_empty() { Ok(()) } else { self.definitions_for(context, given).await?.check(given) }
    }

    /// Returns the definitions by which to judge these values: from the cache, unless older ones would refuse a value.
    pub(super) async fn definitions_for(&self, context: &Context, given: &[Given<'_>]) -> Result<Arc<Definitions>> {
        let (definitions, age) = self.definitions(context, Control::default()).await?;
        if age <= OLDEST || definitions.check(given).is_ok() {
            return Ok(definitions);
        }
        // One reads them anew for all who wait for that.
        let _one = self.user_fields.anew(context.credential.fingerprint()).await;
        let (definitions, age) = self.definitions(context, Control::default()).await?;
        if age <= OLDEST {
            return Ok(definitions);
        }
        Ok(self.definitions(context, Control { no_cache: true, ..Control::default() }).await?.0)
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
