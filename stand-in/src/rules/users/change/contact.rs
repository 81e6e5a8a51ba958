//! Addresses, numbers and accounts elsewhere.

use super::identities;
use crate::errors::ValidationError;
use crate::rules::attributes::{Attributes, Change};
use crate::store::identity::Identity;
use crate::store::tables::Tables;
use crate::store::user::User;

/// The first value of a kind becomes the primary one, an update adds another
/// beside it. Returns the identities to add.
///
/// Assumption: an address marked as primary among the identities comes before
/// `email`.
pub fn apply(
    tables: &Tables,
    user: &mut User,
    given: &mut Attributes,
    is_new: bool,
    problems: &mut Vec<ValidationError>,
) -> Vec<Identity> {
    let mut added: Vec<Identity> = Vec::new();
    let verified = given.boolean("verified");
    let mut wanted = Vec::new();
    if let Change::Set(address) = given.text("email") {
        wanted.push(Identity::email(address.trim(), !is_new && verified.unwrap_or(false)));
    } else if let Some(verified) = verified {
        user.verified = verified;
    }
    if is_new {
        user.verified = verified.unwrap_or(false);
    }
    wanted.extend(identities::read(given, is_new));
    wanted.sort_by_key(|identity| !(identity.is_email() && identity.primary));
    for mut identity in wanted {
        if !identity.is_email() {
            added.push(identity);
            continue;
        }
        let address = &identity.value;
        let known = |other: &Identity| other.is_email() && other.value.eq_ignore_ascii_case(address);
        let own = user.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(address));
        if !is_address(address) {
            let description = format!("Email: {address} is not properly formatted");
            problems.push(ValidationError::new("email", "InvalidFormat", description));
        } else if tables.email_owner(address).is_some_and(|owner| owner != user.id) {
            let description = format!("Email: {address} is already being used by another user");
            problems.push(ValidationError::new("email", "DuplicateValue", description));
        } else if own || added.iter().any(known) || tables.identities(user.id).iter().any(known) {
            // The user has this address already.
        } else if user.email.is_none() {
            user.verified |= identity.verified;
            user.email = Some(identity.value);
        } else {
            identity.primary = false;
            added.push(identity);
        }
    }
    phone(tables, user, given, &mut added);
    user.otherwise_verified |= added.iter().any(|identity| identity.verified);
    added
}

fn phone(tables: &Tables, user: &mut User, given: &mut Attributes, added: &mut Vec<Identity>) {
    let shared = given.boolean("shared_phone_number");
    match given.text("phone") {
        Change::Keep => {}
        Change::Clear => (user.phone, user.shared_phone_number) = (None, None),
        Change::Set(number) if number.is_empty() => (user.phone, user.shared_phone_number) = (None, None),
        Change::Set(number) => {
            let direct = user.phone.is_some() && user.shared_phone_number != Some(true);
            if direct && user.phone.as_deref() != Some(number.as_str()) {
                added.push(Identity::phone(&number));
            } else {
                user.shared_phone_number = Some(tables.has_phone(&number, user.id));
                user.phone = Some(number.into());
            }
        }
    }
    if user.phone.is_some() && shared.is_some() {
        user.shared_phone_number = shared;
    }
}

/// One `@` with something on both sides, and no blanks.
pub fn is_address(text: &str) -> bool {
    let sides = text.split_once('@');
    let plain = !text.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    plain && sides.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}
