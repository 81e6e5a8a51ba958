//! Host names, by the rules of DNS.

/// Most characters of a label (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// Checks one part of a host name, between dots: up to 63 letters, digits and hyphens, with no hyphen at either end.
///
/// # Errors
/// What is wrong, as the end of a sentence that begins with the name.
pub fn label(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("is empty"),
        _ if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            Err("must be letters, digits and '-' only")
        }
        _ if text.len() > MAX_LABEL => Err("must be at most 63 characters: no host name has a longer part"),
        _ if text.starts_with('-') || text.ends_with('-') => {
            Err("must begin and end with a letter or a digit, as every part of a host name does")
        }
        _ => Ok(()),
    }
}
