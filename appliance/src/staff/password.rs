//! Passwords: argon2id, two at a time, and the rule for new ones.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version, password_hash::SaltString,
};
use tokio::sync::Semaphore;

/// Memory of one hash in KiB, passes and lanes: the first choice of OWASP's Password Storage Cheat Sheet for argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Hashes at the same time; each takes 19 MiB and a core for some 30 ms.
const AT_ONCE: usize = 2;

/// Callers who may wait for their turn. More are turned away, so that a flood of sign-ins costs no memory.
const WAITING: usize = 16;

/// Fewest characters of a new password.
const SHORTEST: usize = 10;

/// Most bytes of a password that are looked at.
const LONGEST: usize = 512;

/// Passwords of 10 characters and more that stand on every list of leaked ones, and some that are only common here.
const COMMON: &str = include_str!("common_passwords.txt");

/// Hashes and checks passwords away from the threads that serve requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// Checked when there is no such account, so that the time of the answer does not tell.
    nobody: Arc<str>,
}

/// Why a password was not hashed or checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordError {
    /// Too many wait for the same; try again in a second.
    Busy,
    /// Longer than anybody types.
    TooLong,
    /// No random bytes, no memory, or the kept hash can't be read.
    Failed(String),
}

/// Why a new password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weak {
    /// Fewer than 10 characters.
    Short,
    /// More than 512 bytes.
    Long,
    /// Everybody's first guess.
    Common,
    /// The account's name, or with little around it.
    LikeAccount,
}

/// Whether a new password is good enough: length, no common one, not the account (NIST SP 800-63B, 5.1.1.2).
///
/// # Errors
/// [`Weak`].
pub fn check_password(account: &str, password: &str) -> Result<(), Weak> {
    if password.chars().count() < SHORTEST {
        return Err(Weak::Short);
    }
    if password.len() > LONGEST {
        return Err(Weak::Long);
    }
    let lower = password.to_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    let account: String = account.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let rest = plain.replace(&account, "");
    if !account.is_empty() && rest.len() < plain.len() && rest.chars().count() < 5 {
        return Err(Weak::LikeAccount);
    }
    let mut kinds: Vec<char> = lower.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() < 4 || is_run(&lower) || COMMON.lines().any(|common| common == lower || common == plain) {
        return Err(Weak::Common);
    }
    Ok(())
}

/// `1234567890`, `abcdefghij`, `9876543210`, also with the run beginning again.
fn is_run(text: &str) -> bool {
    let steps =
        || text.chars().zip(text.chars().skip(1)).map(|(a, b)| i64::from(u32::from(b)) - i64::from(u32::from(a)));
    let total = steps().count();
    let up = steps().filter(|step| *step == 1).count();
    let down = steps().filter(|step| *step == -1).count();
    total - up.max(down) <= total / 6
}

impl Passwords {
    /// Ready to hash. Takes the time of one hash.
    ///
    /// # Errors
    /// [`PasswordError::Failed`].
    pub fn new() -> Result<Self, PasswordError> {
        let nobody = hash("nobody has this password")?.into();
        Ok(Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            nobody,
        })
    }

    /// The argon2id hash of a password in PHC form, with a new salt.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.in_turn(move || hash(&password)).await
    }

    /// Whether the password belongs to the hash. With no hash (no such account) it takes as long and says no.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(&self, kept: Option<String>, password: String) -> Result<bool, PasswordError> {
        let nobody = self.nobody.clone();
        self.in_turn(move || match kept {
            Some(kept) => verify(&kept, &password),
            None => verify(&nobody, &password).map(|_| false),
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.queue.try_acquire().map_err(|_| PasswordError::Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        // The turn goes with the work: a caller who hangs up does not make room for a third hash.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        task.await.map_err(|e| PasswordError::Failed(e.to_string()))?
    }
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &str) -> Result<String, PasswordError> {
    if password.len() > LONGEST {
        return Err(PasswordError::TooLong);
    }
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(failed)?;
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    Ok(argon2()?.hash_password(password.as_bytes(), &salt).map_err(failed)?.to_string())
}

fn verify(kept: &str, password: &str) -> Result<bool, PasswordError> {
    if password.len() > LONGEST {
        return Err(PasswordError::TooLong);
    }
    let kept = PasswordHash::new(kept).map_err(failed)?;
    match argon2()?.verify_password(password.as_bytes(), &kept) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::Password) => Ok(false),
        Err(e) => Err(failed(e)),
    }
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Failed(error.to_string())
}

impl std::fmt::Display for PasswordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy => f.write_str("too many sign-ins at the same time"),
            Self::TooLong => f.write_str("the password is too long"),
            Self::Failed(reason) => write!(f, "the password could not be checked: {reason}"),
        }
    }
}

impl std::error::Error for PasswordError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn a_password_belongs_to_its_hash_only() {
        let passwords = Passwords::new().unwrap();
        let kept = passwords.hash("馬到成功 2026 校慶".into()).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, passwords.hash("馬到成功 2026 校慶".into()).await.unwrap(), "a new salt each time");
        assert!(passwords.verify(Some(kept.clone()), "馬到成功 2026 校慶".into()).await.unwrap());
        assert!(!passwords.verify(Some(kept), "馬到成功 2026 校庆".into()).await.unwrap());
        assert!(!passwords.verify(None, "nobody has this password".into()).await.unwrap());
        assert!(matches!(passwords.verify(Some("x".into()), "y".into()).await, Err(PasswordError::Failed(_))));
        assert_eq!(passwords.hash("x".repeat(513)).await, Err(PasswordError::TooLong));
    }

    #[tokio::test]
    async fn a_flood_is_turned_away() {
        let passwords = Passwords::new().unwrap();
        let held = passwords.turns.clone().acquire_many_owned(2).await.unwrap();
        let tasks: Vec<_> = (0..AT_ONCE + WAITING + 1)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.verify(None, "x".into()).await })
            })
            .collect();
        // The runtime of this test has one thread: yielding runs every task up to where it waits.
        tokio::task::yield_now().await;
        assert_eq!(passwords.verify(None, "x".into()).await, Err(PasswordError::Busy));
        drop(held);
        let mut busy = 0;
        for task in tasks {
            busy += u32::from(task.await.unwrap() == Err(PasswordError::Busy));
        }
        assert_eq!(busy, 1);
    }

    #[test]
    fn the_rule_for_new_passwords() {
        for (account, password, verdict) in [
            ("lin", "short", Err(Weak::Short)),
            ("lin", "九個字還不夠長喔喔", Err(Weak::Short)),
            ("lin", "這是十個字的中文密碼哦", Ok(())),
            ("lin", "password123", Err(Weak::Common)),
            ("lin", "Password-123", Err(Weak::Common)),
            ("lin", "1QAZ2WSX3EDC", Err(Weak::Common)),
            ("lin", "ji32k7au4a83", Err(Weak::Common)),
            ("lin", "1234567890", Err(Weak::Common)),
            ("lin", "12345678901234", Err(Weak::Common)),
            ("lin", "abcdefghijkl", Err(Weak::Common)),
            ("lin", "9876543210", Err(Weak::Common)),
            ("lin", "aaaaaaaaaaaa", Err(Weak::Common)),
            ("lin", "ababababababab", Err(Weak::Common)),
            ("lin.meihua", "Lin.Meihua", Err(Weak::LikeAccount)),
            ("linmeihua", "linmeihua123", Err(Weak::LikeAccount)),
            ("lin", "lin likes noodles", Ok(())),
            ("", "correct horse battery", Ok(())),
        ] {
            assert_eq!(check_password(account, password), verdict, "{account} {password}");
        }
        assert_eq!(check_password("lin", &"長".repeat(200)), Err(Weak::Long));
        assert!(COMMON.lines().all(|line| line.chars().count() >= SHORTEST && line == line.to_lowercase()));
    }
}
