//! Names of hosts: their one form, and the names above them.

use std::fmt;

use classroom_protocol::catalogue::{Lang, text};

/// The longest name of a host, in bytes (RFC 1035 §2.3.4, without the root's dot).
const LONGEST: usize = 253;
/// The longest label (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;

/// Why a text is no name of a host. The sentence names the mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHost {
    /// It has a scheme, a path, a port or a user.
    Address,
    /// It has a `*`.
    Star,
    /// It is longer than DNS allows, or a part of it is empty or too long.
    Form,
    /// It has characters that no host has.
    Character,
    /// It is a single word; that would be a whole top level.
    Single,
    /// It is an address of numbers.
    Number,
}

impl BadHost {
    /// The key of its sentence in the catalogue.
    pub fn key(self) -> &'static str {
        match self {
            Self::Address => "policy.bad-host.address",
            Self::Star => "policy.bad-host.star",
            Self::Form => "policy.bad-host.form",
            Self::Character => "policy.bad-host.character",
            Self::Single => "policy.bad-host.single",
            Self::Number => "policy.bad-host.number",
        }
    }
}

impl fmt::Display for BadHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text(Lang::En, self.key()))
    }
}

impl std::error::Error for BadHost {}

/// The one form of a host's name: lower case, without the dot at the end.
///
/// # Errors
/// [`BadHost`], with the mend.
pub fn host_name(text: &str) -> Result<String, BadHost> {
    let text = text.trim();
    if text.contains(['/', ':', '@', '?', '#']) {
        return Err(BadHost::Address);
    }
    if text.contains('*') {
        return Err(BadHost::Star);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() || name.len() > LONGEST {
        return Err(BadHost::Form);
    }
    if name.split('.').any(|label| label.is_empty() || label.len() > LONGEST_LABEL) {
        return Err(BadHost::Form);
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(BadHost::Character);
    }
    if !name.contains('.') {
        return Err(BadHost::Single);
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(BadHost::Number);
    }
    Ok(name.to_ascii_lowercase())
}

/// The name itself and the names above it, the longest first: `a.b.tw`, `b.tw`, `tw`.
pub fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = (!name.is_empty()).then_some(name);
    std::iter::from_fn(move || {
        let now = rest?;
        rest = now.split_once('.').map(|(_, above)| above).filter(|above| !above.is_empty());
        Some(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        assert_eq!(host_name(" WWW.PaGamO.org. "), Ok("www.pagamo.org".into()));
        assert_eq!(host_name("_dns.resolver.arpa"), Ok("_dns.resolver.arpa".into()));
    }

    #[test]
    fn what_is_no_host_is_told_with_its_mend() {
        for (text, why) in [
            ("", BadHost::Form),
            (".", BadHost::Form),
            ("a..tw", BadHost::Form),
            ("https://adl.edu.tw", BadHost::Address),
            ("adl.edu.tw/x", BadHost::Address),
            ("*.edu.tw", BadHost::Star),
            ("edu", BadHost::Single),
            ("因材網.tw", BadHost::Character),
            ("192.168.1.1", BadHost::Number),
            ("fe80::1", BadHost::Address),
        ] {
            assert_eq!(host_name(text), Err(why), "{text}");
        }
        assert_eq!(host_name(&format!("{}.tw", "a".repeat(64))), Err(BadHost::Form));
        assert_eq!(host_name(&"a.".repeat(200)), Err(BadHost::Form));
    }

    #[test]
    fn every_name_above_is_walked() {
        assert_eq!(suffixes("a.b.tw").collect::<Vec<_>>(), ["a.b.tw", "b.tw", "tw"]);
        assert_eq!(suffixes("").count(), 0);
        assert_eq!(suffixes("a.").collect::<Vec<_>>(), ["a."]);
    }
}
