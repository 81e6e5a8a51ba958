//! Texts from outside.

/// Trims a text from outside, cuts it to 512 characters and replaces control characters by spaces.
pub fn snippet(text: &str) -> String {
    shortened(text, 512)
}

/// The same, cut to `most` characters.
pub fn shortened(text: &str, most: usize) -> String {
    text.trim().chars().map(|char| if char.is_control() { ' ' } else { char }).take(most).collect()
}
