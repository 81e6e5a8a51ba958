//! Adding, changing, preferring and removing identities of users.

use serde_json::{Map, Value};

use super::Refusal;
use super::attributes::{Attributes, Change, Warnings};
use super::users::is_address;
use crate::clock::Time;
use crate::store::identity::{Identity, METHODS};
use crate::store::tables::Tables;

/// The kinds that the reference lists for creation.
const CREATABLE: [&str; 6] = ["email", "twitter", "facebook", "google", "agent_forwarding", "phone_number"];

/// A user's identities while they are changed.
struct Draft<'a> {
    tables: &'a mut Tables,
    user: i64,
    rows: Vec<Identity>,
}

impl<'a> Draft<'a> {
    fn of(tables: &'a mut Tables, user: i64) -> Result<Self, Refusal> {
        let record = tables.active_user(user).ok_or(Refusal::NotFound)?;
        let rows = tables.all_identities(record);
        Ok(Self { tables, user, rows })
    }

    fn with(tables: &'a mut Tables, user: i64, id: i64) -> Result<(Self, usize), Refusal> {
        let draft = Self::of(tables, user)?;
        let at = draft.rows.iter().position(|row| row.id == id).ok_or(Refusal::NotFound)?;
        Ok((draft, at))
    }

    fn save(self, now: Time) {
        self.tables.put_identities(self.user, self.rows, now);
    }

    /// Refuses a value that an identity cannot have. Addresses are unique over
    /// all identities of all users. That the finding is about `value`, and that
    /// an address which the user has already is refused, too, are assumptions.
    fn check(&self, kind: &str, value: &str, own: Option<i64>) -> Result<(), Refusal> {
        if kind != "email" {
            return Ok(());
        }
        if !is_address(value) {
            let description = format!("Email: {value} is not properly formatted");
            return Err(Refusal::invalid("value", "InvalidFormat", description));
        }
        let is_same = |row: &Identity| row.is_email() && row.value.to_lowercase() == value.to_lowercase();
        let is_own = self.rows.iter().any(|row| is_same(row) && Some(row.id) == own);
        if self.tables.email_owner(value).is_some() && !is_own {
            let description = format!("Email: {value} is already being used by another user");
            return Err(Refusal::invalid("value", "DuplicateValue", description));
        }
        Ok(())
    }

    /// Makes a row the only primary one of its kind.
    fn prefer(&mut self, at: usize) {
        let kind = self.rows[at].kind.clone();
        self.rows.iter_mut().filter(|row| row.kind == kind).for_each(|row| row.primary = false);
        self.rows[at].primary = true;
    }
}

/// The method decides where both are given.
fn verified(given: &mut Attributes) -> Option<bool> {
    let flag = given.boolean("verified");
    match given.text("verification_method") {
        Change::Set(method) if METHODS.contains(&method.as_str()) => Some(method != "none"),
        Change::Set(_) => {
            given.wrong("verification_method", "is invalid");
            None
        }
        Change::Keep | Change::Clear => flag,
    }
}

/// Adds an identity. The first address and the first number of a user become
/// the primary ones.
pub fn create(
    tables: &mut Tables,
    user: i64,
    given: Map<String, Value>,
    now: Time,
) -> Result<(i64, Warnings), Refusal> {
    let mut draft = Draft::of(tables, user)?;
    let mut given = Attributes::new("identity", given);
    let kind = given.text("type").value().unwrap_or_default();
    let value = given.text("value").value().unwrap_or_default().trim().to_owned();
    if !CREATABLE.contains(&kind.as_str()) {
        given.wrong("type", "is invalid");
    }
    if value.is_empty() {
        given.wrong("value", "cannot be blank");
    }
    given.boolean("skip_verify_email");
    let (verified, primary) = (verified(&mut given).unwrap_or(false), given.boolean("primary").unwrap_or(false));
    given.check()?;
    draft.check(&kind, &value, None)?;
    let mut row = Identity::new(&kind, &value, verified);
    (row.id, row.created_at) = (draft.tables.fresh_id(), now);
    let (id, at) = (row.id, draft.rows.len());
    let is_first = !draft.rows.iter().any(|other| other.kind == row.kind && other.primary);
    let becomes_primary = primary || (is_first && (row.is_email() || row.is_phone()));
    draft.rows.push(row);
    if becomes_primary {
        draft.prefer(at);
    }
    draft.save(now);
    Ok((id, given.finish()))
}

/// Changes the value, or whether it is verified. That another value is not
/// verified unless the request says so is an assumption.
pub fn update(
    tables: &mut Tables,
    user: i64,
    id: i64,
    given: Map<String, Value>,
    now: Time,
) -> Result<Warnings, Refusal> {
    let (mut draft, at) = Draft::with(tables, user, id)?;
    let mut given = Attributes::new("identity", given);
    given.not_null(&["value", "verified", "verification_method"]);
    let value = given.text("value").value().map(|value| value.trim().to_owned());
    if value.as_ref().is_some_and(String::is_empty) {
        given.wrong("value", "cannot be blank");
    }
    let verified = verified(&mut given);
    given.check()?;
    if let Some(value) = value {
        draft.check(&draft.rows[at].kind, &value, Some(id))?;
        draft.rows[at].verified &= *draft.rows[at].value == *value;
        draft.rows[at].value = value.into();
    }
    if let Some(verified) = verified {
        draft.rows[at].verified = verified;
    }
    draft.save(now);
    Ok(given.finish())
}

/// Makes an identity the primary one. An agent may do that with one that is not
/// verified.
pub fn make_primary(tables: &mut Tables, user: i64, id: i64, now: Time) -> Result<(), Refusal> {
    let (mut draft, at) = Draft::with(tables, user, id)?;
    draft.prefer(at);
    draft.save(now);
    Ok(())
}

/// Marks an identity as verified. The address of the account's owner has to be
/// verified by mail; that the refusal is a 403 is an assumption.
pub fn verify(tables: &mut Tables, user: i64, id: i64, owner: Option<i64>, now: Time) -> Result<(), Refusal> {
    let (mut draft, at) = Draft::with(tables, user, id)?;
    if draft.rows[at].is_email() && owner == Some(user) {
        return Err(Refusal::Forbidden);
    }
    draft.rows[at].verified = true;
    draft.save(now);
    Ok(())
}

/// Checks that a mail can be sent to an identity. That other kinds than
/// addresses are refused is an assumption.
pub fn can_be_mailed(tables: &mut Tables, user: i64, id: i64) -> Result<(), Refusal> {
    let (draft, at) = Draft::with(tables, user, id)?;
    if draft.rows[at].is_email() {
        Ok(())
    } else {
        Err(Refusal::invalid("base", "InvalidValue", "Only email identities can be verified by mail"))
    }
}

/// Removes an identity. That the primary address cannot be removed is an
/// assumption.
pub fn delete(tables: &mut Tables, user: i64, id: i64, now: Time) -> Result<(), Refusal> {
    let (mut draft, at) = Draft::with(tables, user, id)?;
    if draft.rows[at].primary && draft.rows[at].is_email() {
        return Err(Refusal::invalid("base", "InvalidValue", "The primary email address cannot be deleted"));
    }
    draft.rows.remove(at);
    draft.save(now);
    Ok(())
}
