//! What a user can be recognised by beside the primary address.

/// Every kind of identity.
pub const KINDS: [&str; 10] = [
    "email",
    "twitter",
    "facebook",
    "google",
    "phone_number",
    "agent_forwarding",
    "any_channel",
    "foreign",
    "sdk",
    "messaging",
];

/// Verification methods of an identity; all but the first mean that it is
/// verified.
pub const METHODS: [&str; 5] = ["none", "low", "sso", "embed", "full"];

/// A secondary address, a phone number, or an account elsewhere.
#[derive(Clone, Debug)]
pub struct Identity {
    /// One of [`KINDS`].
    pub kind: Box<str>,
    pub value: Box<str>,
    pub verified: bool,
    /// Whether the request marked it as the primary one of its kind. A primary
    /// address becomes the user's `email`, not a secondary address.
    pub primary: bool,
}

impl Identity {
    pub fn email(address: &str, verified: bool) -> Self {
        Self { kind: "email".into(), value: address.into(), verified, primary: false }
    }

    pub fn phone(number: &str) -> Self {
        Self { kind: "phone_number".into(), value: number.into(), verified: false, primary: false }
    }

    /// Whether the value is an address, which has to be unique.
    pub fn is_email(&self) -> bool {
        &*self.kind == "email"
    }
}
