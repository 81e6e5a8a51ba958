//! What comes after a page.

/// What comes after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The list has ended.
    End,
    /// The list goes on after this cursor.
    Cursor(String),
    /// The list goes on with this page number.
    Page(u32),
    /// The list was asked for by cursor and answered by page number: it goes on with this page number and page size.
    Numbered {
        /// The page number.
        number: u32,
        /// Rows of a page, 1 to 100.
        size: Size,
    },
    /// Zendesk claims more without saying where.
    Nowhere,
}

/// The page size of a list that is read by page number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// This many rows, which each request asks for.
    Asked(u32),
    /// This many rows, chosen by Zendesk. Requests ask for no size, because another size would move where pages begin.
    Own(u32),
}

impl Size {
    /// Returns the number of rows.
    pub fn rows(self) -> u32 {
        match self {
            Self::Asked(rows) | Self::Own(rows) => rows,
        }
    }
}
