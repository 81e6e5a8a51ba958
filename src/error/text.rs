//! Texts from outside.

/// Trims a text from outside, cuts it to 512 characters and replaces control characters by spaces.
pub fn snippet(text: &str) -> String {
    shortened(text, 512)
}

/// The same, cut to `most` characters.
pub fn shortened(text: &str, most: usize) -> String {
    quoted(text.trim(), most)
}

/// The same with the blanks around it: in quotation marks, they can be what is wrong.
pub fn quoted(text: &str, most: usize) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(most).collect()
}

/// What the server library says of a request that it cannot read, without what the library was doing and in words of Protobuf.
pub fn of_library(said: &str) -> String {
    let said = said.trim_end_matches(", while sending request");
    if said.starts_with("Unexpected EOF") {
        return "the message of the request is cut off".to_owned();
    }
    match said.split_once(": invalid wire type: ") {
        Some((before, _)) => format!("{before}: its bytes are those of a field of another type"),
        None => said.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_has_no_words_of_its_own() {
        for (said, told) in [
            ("Unexpected EOF decoding stream.", "the message of the request is cut off"),
            (
                "failed to decode Protobuf message: GetUserRequest.id: invalid wire type: ThirtyTwoBit (expected Varint)",
                "failed to decode Protobuf message: GetUserRequest.id: its bytes are those of a field of another type",
            ),
            (
                "Error decompressing: corrupt deflate stream, while sending request",
                "Error decompressing: corrupt deflate stream",
            ),
            ("no such method", "no such method"),
        ] {
            assert_eq!(of_library(said), told);
        }
    }
}
