//! The account's definitions of user fields, decoded once for all calls that check values by them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::OwnedMutexGuard;

use crate::proto::ListUserFieldsResponse;
use crate::rest::field_values::Definitions;

/// The definitions that were read last, and the pages that they were read from: calls at once have them in common, because an account's
/// definitions take megabytes.
#[derive(Clone, Default)]
pub struct Read {
    last: Arc<Mutex<Option<Pages>>>,
    /// By the fingerprint of the credential: one that Zendesk keeps waiting keeps nobody waiting who has another.
    anew: Arc<Mutex<HashMap<u128, Weak<Turn>>>>,
}

type Turn = tokio::sync::Mutex<()>;

type Pages = (Vec<Bytes>, Arc<Definitions>);

impl Read {
    /// Waits until nobody else reads them anew with the credential of this fingerprint.
    pub async fn anew(&self, fingerprint: u128) -> OwnedMutexGuard<()> {
        self.turn(fingerprint).lock_owned().await
    }

    fn turn(&self, fingerprint: u128) -> Arc<Turn> {
        let mut all = self.anew.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = all.get(&fingerprint).and_then(Weak::upgrade) {
            return turn;
        }
        all.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        all.insert(fingerprint, Arc::downgrade(&turn));
        turn
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
    #[tokio::test]
    async fn those_with_one_credential_read_them_anew_one_at_a_time_and_others_beside_them() {
        use futures_util::FutureExt as _;

        let read = Read::default();
        let first = read.anew(1).await;
        assert!(read.anew(1).now_or_never().is_none(), "the first is at it");
        let other = read.anew(2).now_or_never().expect("nobody has this credential");
        drop(first);
        assert!(read.anew(1).now_or_never().is_some());
        assert!(read.anew(2).now_or_never().is_none());
        drop(other);
        drop(read.anew(3).await);
        assert_eq!(read.anew.lock().expect("no panic").len(), 1, "of those who have left nothing is kept");
    }
}
