//! The account's definitions of user fields, by which values are checked before they are sent.

use std::time::Duration;

use prost::Message as _;

use super::{Context, Gateway};
use crate::cache::Control;
use crate::error::Result;
use crate::proto::{ListUserFieldsRequest, ListUserFieldsResponse};
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
    pub(super) async fn definitions_for(&self, context: &Context, given: &[Given<'_>]) -> Result<Definitions> {
        let (definitions, age) = self.definitions(context, Control::default()).await?;
        if age <= OLDEST || definitions.check(given).is_ok() {
            return Ok(definitions);
        }
        Ok(self.definitions(context, Control { no_cache: true, ..Control::default() }).await?.0)
    }

    /// Reads all definitions, as `ListUserFields` does. Also returns the age of the oldest page.
    async fn definitions(&self, context: &Context, control: Control) -> Result<(Definitions, Duration)> {
        let context = Context { control, ..context.clone() };
        let (mut request, mut rows) = (ListUserFieldsRequest::default(), Vec::new());
        let (mut age, mut is_whole) = (Duration::ZERO, true);
        for _ in 0..MOST_PAGES {
            let page = self.list(&context, &request).await?;
            age = age.max(page.cached.map_or(Duration::ZERO, |(_, age)| age));
            let page =
                ListUserFieldsResponse::decode(page.message.bytes().clone()).expect("the gateway has encoded it");
            is_whole &= page.unreadable_rows == 0;
            rows.extend(page.user_fields);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return Ok((Definitions::of(rows, is_whole), age));
            }
        }
        Ok((Definitions::of(rows, false), age))
    }
}
