//! What a user can be recognised by.

use crate::clock::Time;

use super::user::User;

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

/// An address, a phone number, or an account elsewhere.
#[derive(Clone, Debug)]
pub struct Identity {
    /// 0 until a user has it.
    pub id: i64,
    /// One of [`KINDS`].
    pub kind: Box<str>,
    pub value: Box<str>,
    pub verified: bool,
    /// Whether the request marked it as the primary one of its kind. A primary
    /// address becomes the user's `email`, not a secondary address.
    pub primary: bool,
    pub created_at: Time,
}

impl Identity {
    pub fn new(kind: &str, value: &str, verified: bool) -> Self {
        Self { id: 0, kind: kind.into(), value: value.into(), verified, primary: false, created_at: Time(0) }
    }

    pub fn email(address: &str, verified: bool) -> Self {
        Self::new("email", address, verified)
    }

    pub fn phone(number: &str) -> Self {
        Self::new("phone_number", number, false)
    }

    /// The identities that a user's own record tells: the primary address and
    /// the direct number. Their ids follow from the user's.
    pub fn of_record(user: &User) -> Vec<Self> {
        let address = user.email.as_deref().map(|address| Self::email(address, user.verified));
        let is_direct = user.shared_phone_number != Some(true);
        let number = user.phone.as_deref().filter(|_| is_direct).map(Self::phone);
        let told = (1..).zip([address, number]);
        told.filter_map(|(at, identity)| {
            Some(Self { id: user.id + at, primary: true, created_at: user.created_at, ..identity? })
        })
        .collect()
    }

    /// Whether the value is a number.
    pub fn is_phone(&self) -> bool {
        &*self.kind == "phone_number"
    }

    /// Whether the value is an address, which has to be unique.
    pub fn is_email(&self) -> bool {
        &*self.kind == "email"
    }
}
