//! `[upstream.stream]`: how the pages of streams are fetched.

use serde::{Deserialize, Serialize};

/// `[upstream.stream]`: how the pages of streams are fetched.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// `upstream.stream.prefetch`: whether a page is asked for as soon as the one before it says where it begins, so that
    /// one page lies ready while the caller reads. Default `true`.
    pub prefetch: bool,
    /// `upstream.stream.parallel_pages`: most pages of one stream that are fetched at a time where pages have numbers:
    /// searches, and lists whose cursors Zendesk refuses; 1 fetches one after another. Default 6.
    pub parallel_pages: usize,
    /// `upstream.stream.fill_cache`: whether streamed rows are kept as the answers to single reads. A walk over a large list
    /// pushes out what is in use. Default `false`.
    pub fill_cache: bool,
}

impl Default for Stream {
    fn default() -> Self {
        Self { prefetch: true, parallel_pages: 6, fill_cache: false }
    }
}
