//! What a user can be recognised by beside the primary address.

/// A secondary address, a phone number, or an account elsewhere.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `email`, `phone_number`, `twitter`, …
    pub kind: Box<str>,
    pub value: Box<str>,
    pub verified: bool,
}

impl Identity {
    pub fn email(address: &str, verified: bool) -> Self {
        Self { kind: "email".into(), value: address.into(), verified }
    }

    pub fn phone(number: &str) -> Self {
        Self { kind: "phone_number".into(), value: number.into(), verified: false }
    }

    /// Whether the value is an address, which has to be unique.
    pub fn is_email(&self) -> bool {
        &*self.kind == "email"
    }
}
