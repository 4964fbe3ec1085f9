//! Secrets: passwords, tokens, codes and the box's key. Nothing here knows HTTP or the database.

mod key;
mod password;
mod token;

pub use key::{BadToken, BoxKey, Claims, Kind};
pub use password::{PasswordError, Passwords, Weak, check_password};
pub use token::{Token, room_code, setup_code};
