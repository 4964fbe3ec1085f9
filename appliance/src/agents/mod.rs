//! What take-home devices trust: the box's own authority for their certificates, and the key that signs their orders.
//! Nothing here knows HTTP or the database.

mod authority;
mod orders;

pub use authority::{Authority, AuthorityError, BadRequest, Issued};
pub use orders::{OrdersKey, write};
