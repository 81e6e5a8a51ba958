//! How each request message becomes a REST request, how its answer becomes the reply, and nothing else.
//!
//! One block per RPC, in the order of the vendor's reference; `lists` has those that the contract says all about. Transport,
//! cache, retries and status codes are elsewhere. A wrong field is refused here, by its name, before anything is sent.

mod answer;
mod batch;
mod beside;
pub mod bulk;
pub mod changes;
mod field;
pub mod field_values;
pub mod groups;
pub mod identities;
pub mod input;
pub mod jobs;
mod list;
mod lists;
pub mod many;
pub mod memberships;
pub mod organization_memberships;
pub mod organizations;
pub mod page;
mod read;
mod roles;
pub mod row;
mod tags;
pub mod user_fields;
pub mod users;
mod write;

pub use answer::{envelope, is_nothing, nothing};
pub use batch::{Batch, LeftOut};
pub use beside::{Beside, Includes};
pub use list::{List, Paging, Part, Style, checked, rows};
pub use read::Read;
pub use write::{Changes, Whole, Write};

use answer::{has_id, is_count, is_unread, names, nothing_but};
use field::{brand, id, known_word, optional_id, sorted};
use list::{list, whole_list};
