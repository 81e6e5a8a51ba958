//! Words that seed data is made of.

/// First names with their spelling in e-mail addresses.
pub const FIRST: [(&str, &str); 24] = [
    ("Amara", "amara"),
    ("Bjørn", "bjorn"),
    ("Carla", "carla"),
    ("Dmitri", "dmitri"),
    ("Élodie", "elodie"),
    ("Farid", "farid"),
    ("Grace", "grace"),
    ("Hiroshi", "hiroshi"),
    ("Ines", "ines"),
    ("José", "jose"),
    ("Kofi", "kofi"),
    ("Łukasz", "lukasz"),
    ("Mei", "mei"),
    ("Nils", "nils"),
    ("Olivia", "olivia"),
    ("Priya", "priya"),
    ("Quentin", "quentin"),
    ("Rosa", "rosa"),
    ("Søren", "soren"),
    ("Tariq", "tariq"),
    ("Uma", "uma"),
    ("Víctor", "victor"),
    ("Wanjiru", "wanjiru"),
    ("Zoë", "zoe"),
];

/// Family names with their spelling in e-mail addresses.
pub const LAST: [(&str, &str); 20] = [
    ("Adeyemi", "adeyemi"),
    ("Bergström", "bergstrom"),
    ("Castellano", "castellano"),
    ("D'Souza", "dsouza"),
    ("Eriksen", "eriksen"),
    ("Fournier", "fournier"),
    ("García", "garcia"),
    ("Håkansson", "hakansson"),
    ("Ibrahim", "ibrahim"),
    ("Jansen", "jansen"),
    ("Kowalski", "kowalski"),
    ("Lindqvist", "lindqvist"),
    ("Müller", "muller"),
    ("Nakamura", "nakamura"),
    ("O'Connor", "oconnor"),
    ("Papadopoulos", "papadopoulos"),
    ("Rossi", "rossi"),
    ("Smith-Jones", "smithjones"),
    ("Tanaka", "tanaka"),
    ("李", "li"),
];

/// Domains of customers.
pub const DOMAINS: [&str; 5] = ["acme.example", "example.com", "mail.example.org", "globex.example", "initech.example"];

/// Group names; a group beyond the list gets a number.
pub const GROUPS: [&str; 16] = [
    "Support",
    "Billing",
    "engineering",
    "Escalations",
    "Sales",
    "Österreich",
    "Night Shift",
    "VIP customers",
    "日本語サポート",
    "🚀 Launch crew",
    "IT & Facilities",
    "Onboarding",
    "Returns",
    "français",
    "Legal \"hold\"",
    "👩‍🚒 Fire brigade",
];

/// Tags of users.
pub const TAGS: [&str; 8] =
    ["vip", "beta_tester", "newsletter", "churn-risk", "enterprise", "ümlaut", "needs_training", "premium_2024"];

/// Things that agents note about users.
pub const NOTES: [&str; 6] = [
    "Prefers to be called in the afternoon",
    "Asked for an invoice twice",
    "Speaks French and English 🇫🇷",
    "Second line\nwith a line break",
    "Moved from \"Globex\" in 2023",
    "Has a sigil issue",
];

/// Dropdown values of the field `plan`.
pub const PLANS: [&str; 3] = ["free", "silver_plan", "gold_plan"];

/// Multiselect values of the field `favourite_products`.
pub const PRODUCTS: [&str; 4] = ["router", "switch", "cable", "tölva"];
