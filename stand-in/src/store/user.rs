//! A user as the account keeps it: compact, because demos seed a million.

use crate::clock::Time;

use super::fields::Fields;

/// One user, live or deleted.
#[expect(clippy::struct_excessive_bools, reason = "these are Zendesk's own independent flags of a user")]
#[derive(Clone, Debug)]
pub struct User {
    pub id: i64,
    pub name: Box<str>,
    pub email: Option<Box<str>>,
    pub created_at: Time,
    pub updated_at: Time,
    pub zone: Zone,
    pub locale: Locale,
    pub phone: Option<Box<str>>,
    pub shared_phone_number: Option<bool>,
    pub photo: Option<Box<Photo>>,
    pub organization_id: Option<i64>,
    pub role: Role,
    pub role_type: Option<u8>,
    pub custom_role_id: Option<i64>,
    /// Whether the primary address is verified.
    pub verified: bool,
    /// Whether another identity is.
    pub otherwise_verified: bool,
    pub external_id: Option<Box<str>>,
    /// Tags hold no blanks, so a blank separates them.
    pub tags: Box<str>,
    pub alias: Option<Box<str>>,
    pub details: Option<Box<str>>,
    pub notes: Option<Box<str>>,
    pub signature: Option<Box<str>>,
    pub shared: bool,
    pub shared_agent: bool,
    pub last_login_at: Option<Time>,
    pub two_factor_auth_enabled: Option<bool>,
    pub moderator: bool,
    pub ticket_restriction: Option<Restriction>,
    pub only_private_comments: bool,
    pub restricted_agent: bool,
    pub suspended: bool,
    pub default_group_id: Option<i64>,
    pub fields: Fields,
    pub life: Life,
    /// Served instead of everything above, byte for byte: a test's odd record.
    pub verbatim: Option<Box<str>>,
}

impl User {
    /// A new end user with nothing but a name, as `POST /users` makes one.
    pub fn end_user(id: i64, name: &str, now: Time) -> Self {
        Self {
            id,
            name: name.into(),
            email: None,
            created_at: now,
            updated_at: now,
            zone: Zone::default(),
            locale: Locale::default(),
            phone: None,
            shared_phone_number: None,
            photo: None,
            organization_id: None,
            role: Role::EndUser,
            role_type: None,
            custom_role_id: None,
            verified: false,
            otherwise_verified: false,
            external_id: None,
            tags: "".into(),
            alias: None,
            details: None,
            notes: None,
            signature: None,
            shared: false,
            shared_agent: false,
            last_login_at: None,
            two_factor_auth_enabled: None,
            moderator: false,
            ticket_restriction: Some(Restriction::Requested),
            only_private_comments: false,
            restricted_agent: true,
            suspended: false,
            default_group_id: None,
            fields: Fields::default(),
            life: Life::Active,
            verbatim: None,
        }
    }

    /// Whether the user is in lists and search.
    pub fn is_active(&self) -> bool {
        self.life == Life::Active
    }

    /// Whether the user may be in groups.
    pub fn is_staff(&self) -> bool {
        self.role != Role::EndUser
    }

    /// Sets the role with the attributes that follow from it.
    pub fn become_role(&mut self, role: Role, custom_role_id: Option<i64>) {
        self.role = role;
        match role {
            Role::EndUser => {
                (self.role_type, self.custom_role_id) = (None, None);
                (self.restricted_agent, self.moderator) = (true, false);
                self.ticket_restriction = Some(Restriction::Requested);
                self.default_group_id = None;
            }
            Role::Agent => {
                self.role_type = Some(0);
                self.custom_role_id = custom_role_id;
                (self.restricted_agent, self.moderator) = (true, false);
                self.ticket_restriction = Some(Restriction::Groups);
            }
            Role::Admin => {
                self.role_type = Some(4);
                self.custom_role_id = custom_role_id;
                (self.restricted_agent, self.moderator) = (false, true);
                self.ticket_restriction = None;
            }
        }
    }
}

/// A user's state: live, deleted or erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Active,
    /// Deleted: out of lists, still shown by id and among the deleted users.
    Deleted,
    /// Permanently deleted: only listed, without personal data.
    Erased,
}

/// The three roles of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    EndUser,
    Agent,
    Admin,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::EndUser => "end-user",
            Self::Agent => "agent",
            Self::Admin => "admin",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::EndUser, Self::Agent, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// Which tickets a user may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    Organization,
    Groups,
    Assigned,
    Requested,
}

impl Restriction {
    pub fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Groups => "groups",
            Self::Assigned => "assigned",
            Self::Requested => "requested",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Organization, Self::Groups, Self::Assigned, Self::Requested]
            .into_iter()
            .find(|restriction| restriction.name() == name)
    }
}

/// A profile picture; its thumbnail is derived from it.
#[derive(Clone, Debug)]
pub struct Photo {
    pub id: i64,
    pub file_name: Box<str>,
    pub content_type: &'static str,
    pub size: u32,
    /// Unknown for pictures that were given by URL and not fetched yet.
    pub dimensions: Option<(u16, u16)>,
}

/// A time zone: the name that was chosen, Rails' or IANA's, and IANA's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone(u8);

/// Zones that the sandbox knows; the first is a new user's.
const ZONES: [(&str, &str); 16] = [
    ("Eastern Time (US & Canada)", "America/New_York"),
    ("Pacific Time (US & Canada)", "America/Los_Angeles"),
    ("Alaska", "America/Juneau"),
    ("Copenhagen", "Europe/Copenhagen"),
    ("Berlin", "Europe/Berlin"),
    ("London", "Europe/London"),
    ("Tokyo", "Asia/Tokyo"),
    ("Mumbai", "Asia/Kolkata"),
    ("Sydney", "Australia/Sydney"),
    ("Brasilia", "America/Sao_Paulo"),
    ("UTC", "Etc/UTC"),
    ("American Samoa", "Pacific/Pago_Pago"),
    ("America/New_York", "America/New_York"),
    ("Europe/Berlin", "Europe/Berlin"),
    ("Asia/Singapore", "Asia/Singapore"),
    ("Australia/Sydney", "Australia/Sydney"),
];

impl Zone {
    pub fn name(self) -> &'static str {
        ZONES[usize::from(self.0)].0
    }

    pub fn iana(self) -> &'static str {
        ZONES[usize::from(self.0)].1
    }

    pub fn parse(name: &str) -> Option<Self> {
        let at = ZONES.iter().position(|(known, _)| *known == name)?;
        u8::try_from(at).ok().map(Self)
    }

    /// Some zone, chosen by a random number.
    pub fn pick(number: u8) -> Self {
        Self(number % 16)
    }
}

/// A language with the number that Zendesk gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locale(u8);

const LOCALES: [(&str, u32); 8] =
    [("en-US", 1), ("de", 8), ("fr", 16), ("ja", 67), ("pt-BR", 19), ("es", 2), ("en-GB", 1176), ("da", 1000)];

impl Locale {
    pub fn tag(self) -> &'static str {
        LOCALES[usize::from(self.0)].0
    }

    pub fn number(self) -> u32 {
        LOCALES[usize::from(self.0)].1
    }

    pub fn by_tag(tag: &str) -> Option<Self> {
        let known = LOCALES.iter().position(|(known, _)| known.eq_ignore_ascii_case(tag))?;
        u8::try_from(known).ok().map(Self)
    }

    pub fn by_number(number: i64) -> Option<Self> {
        let known = LOCALES.iter().position(|(_, known)| i64::from(*known) == number)?;
        u8::try_from(known).ok().map(Self)
    }

    /// Some language, chosen by a random number; most users speak the first.
    pub fn pick(number: u8) -> Self {
        Self(if number < 180 { 0 } else { number % 8 })
    }
}
