//! Random tokens and codes.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::store::Hash;

/// A random token of 256 bits as it goes to its owner: 43 characters of base64url. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Draws a token.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What goes to the owner, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the store keeps of a token: its SHA-256. Enough for 256 random bits, whoever reads the store can't turn it
    /// back. The lookup by hash needs no constant-time compare: who guesses does not choose the hash.
    pub fn hash(token: &str) -> Hash {
        Sha256::digest(token.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A number below `bound`, each as likely as the others.
fn below(bound: u32) -> Result<u32, getrandom::Error> {
    // Numbers of the last, incomplete round are thrown away.
    let whole_rounds = u32::MAX - u32::MAX % bound;
    loop {
        let number = getrandom::u32()?;
        if number < whole_rounds {
            return Ok(number % bound);
        }
    }
}

/// Six digits, for the room and for pairing panels.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn room_code() -> Result<String, getrandom::Error> {
    Ok(format!("{:06}", below(1_000_000)?))
}

/// Letters and digits that are not mistaken for each other.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A code for making an account, `ABCDEFGHJK`: 50 bits, so that guessing it is hopeless even without a throttle.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn setup_code() -> Result<String, getrandom::Error> {
    (0..10).map(|_| Ok(char::from(ALPHABET[below(32)? as usize]))).collect()
}

/// A code as people may type it, brought to its one form: no spaces or hyphens, capitals.
pub(super) fn normal(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_are_long_and_different_and_not_printed() {
        let tokens: HashSet<String> = (0..100).map(|_| Token::random().unwrap().reveal().to_owned()).collect();
        assert!(tokens.len() == 100 && tokens.iter().all(|token| token.len() == 43));
        let token = Token::random().unwrap();
        assert!(!format!("{token:?}").contains(token.reveal()));
        assert_ne!(Token::hash(token.reveal()), Token::hash("x"));
    }

    #[test]
    fn codes_have_their_form_and_every_digit_is_as_likely() {
        let mut counts = [0u32; 10];
        for _ in 0..5000 {
            let code = room_code().unwrap();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
            code.bytes().for_each(|b| counts[usize::from(b - b'0')] += 1);
        }
        // 30,000 digits: 3,000 each, standard deviation 52; six of them.
        assert!(counts.iter().all(|count| count.abs_diff(3000) < 312), "{counts:?}");
        let code = setup_code().unwrap();
        assert!(code.len() == 10 && code.bytes().all(|b| ALPHABET.contains(&b)));
        assert_eq!(normal(&format!(" {}-{} ", &code[..5], code[5..].to_lowercase())), normal(&code));
    }
}
