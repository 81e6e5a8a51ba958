//! The account's definitions of user fields, decoded once for all calls that check values by them.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prost::Message as _;

use crate::proto::ListUserFieldsResponse;
use crate::rest::field_values::Definitions;

/// The definitions that were read last, and the pages that they were read from: calls at once have them in common, because an account's
/// definitions take megabytes.
#[derive(Clone, Default)]
pub struct Read {
    last: Arc<Mutex<Option<Pages>>>,
    anew: Arc<tokio::sync::Mutex<()>>,
}

type Pages = (Vec<Bytes>, Arc<Definitions>);

impl Read {
    /// Waits until nobody else reads them anew.
    pub async fn anew(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.anew.lock().await
    }

    /// Returns the definitions of these encoded pages, which may be all that there are.
    pub fn of(&self, pages: Vec<Bytes>, is_all: bool) -> Arc<Definitions> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, definitions)) = last.as_ref().filter(|(before, _)| *before == pages) {
            return Arc::clone(definitions);
        }
        let (mut rows, mut is_whole) = (Vec::new(), is_all);
        for page in &pages {
            let page = ListUserFieldsResponse::decode(page.clone()).expect("the gateway has encoded it");
            is_whole &= page.unreadable_rows == 0;
            rows.extend(page.user_fields);
        }
        let definitions = Arc::new(Definitions::of(rows, is_whole));
        *last = Some((pages, Arc::clone(&definitions)));
        definitions
    }
}

/// What of an encoded page says where the next one is.
#[derive(Clone, PartialEq, prost::Message)]
struct Next {
    #[prost(string, tag = "2")]
    page_token: String,
}

/// Returns the token of the page after an encoded one, and decodes nothing else.
pub fn next_page_token(page: &Bytes) -> String {
    Next::decode(page.clone()).expect("the gateway has encoded it").page_token
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::UserField;

    fn page(key: &str, token: &str) -> Bytes {
        let field = UserField { key: Some(key.to_owned()), ..UserField::default() };
        let page = ListUserFieldsResponse {
            user_fields: vec![field],
            next_page_token: token.to_owned(),
            ..Default::default()
        };
        page.encode_to_vec().into()
    }

    #[test]
    fn the_same_pages_are_decoded_once_for_all_calls() {
        let read = Read::default();
        let pages = || vec![page("a", "2"), page("b", "")];
        assert_eq!(pages().iter().map(next_page_token).collect::<Vec<_>>(), ["2", ""]);
        let first = read.of(pages(), true);
        assert!(Arc::ptr_eq(&first, &read.of(pages(), true)));
        assert!(!Arc::ptr_eq(&first, &read.of(vec![page("a", ""), page("c", "")], true)), "they have changed");
    }
}
