//! A set of a million names in 8 MB: keyed 64-bit hashes, sorted, with an index of their first bits.
//!
//! The key is drawn anew for each process (SipHash-1-3), so nobody can craft names that collide with a listed one.

use std::hash::Hasher as _;

use hickory_server::proto::rr::LowerName;
use siphasher::sip::SipHasher13;

/// A name as rules and lists write it: lower case, other scripts as `xn--…`, without a dot at its end. Shown to people a
/// name has its own script; a name that is decided upon must not.
pub fn text(name: &LowerName) -> String {
    let mut text = name.to_ascii();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// The first so many bits of a hash lead to its place: 65,536 places, about 16 names each in a list of a million.
const BITS: u32 = 16;

/// The key of all sets of this process.
#[derive(Debug, Clone, Copy)]
pub struct Key(u64, u64);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(getrandom::u64()?, getrandom::u64()?))
    }

    /// The hash of a name in lower case, without a dot at its end.
    pub fn hash(self, name: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(name);
        hasher.finish()
    }
}

/// Hashes of names. A name that is not in it is taken for one that is with a chance of one in 10^13.
#[derive(Debug, Clone, Default)]
pub struct Names {
    hashes: Box<[u64]>,
    /// Where the hashes begin that have these first bits; one more at the end.
    places: Box<[u32]>,
}

impl Names {
    /// A set of these hashes.
    pub fn new(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        let mut places = vec![0_u32; (1 << BITS) + 1];
        for hash in &hashes {
            places[place(*hash) + 1] += 1;
        }
        let mut sum = 0;
        for at in &mut places {
            sum += *at;
            *at = sum;
        }
        Self { hashes: hashes.into(), places: places.into() }
    }

    /// How many names are in it.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether the name of this hash is in it.
    pub fn contains(&self, hash: u64) -> bool {
        let at = place(hash);
        let (Some(from), Some(to)) = (self.places.get(at), self.places.get(at + 1)) else { return false };
        self.hashes.get(*from as usize..*to as usize).is_some_and(|few| few.binary_search(&hash).is_ok())
    }
}

fn place(hash: u64) -> usize {
    usize::try_from(hash >> (64 - BITS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let key = Key::random().unwrap();
        let name = |n: u32| format!("host-{n}.example");
        let set = Names::new((0..20_000).chain(0..10).map(|n| key.hash(name(n).as_bytes())).collect());
        assert_eq!(set.len(), 20_000, "twice is once");
        assert!((0..20_000).all(|n| set.contains(key.hash(name(n).as_bytes()))));
        assert!((20_000..60_000).all(|n| !set.contains(key.hash(name(n).as_bytes()))));
        assert!(!Names::default().contains(7) && !Names::new(vec![]).contains(7));
        let ends = Names::new(vec![0, u64::MAX]);
        assert!(ends.contains(0) && ends.contains(u64::MAX) && !ends.contains(1));
    }

    #[test]
    fn names_of_other_scripts_are_those_of_the_lists() {
        let text = |name: &str| text(&LowerName::new(&name.parse().unwrap()));
        assert_eq!(text("xn--fiqs8s.tw."), "xn--fiqs8s.tw");
        assert_eq!(text("中国.tw."), "xn--fiqs8s.tw");
        assert_eq!(text("WWW.Krunker.IO."), "www.krunker.io");
        assert_eq!(text("."), "");
    }

    #[test]
    fn another_key_gives_other_hashes() {
        let (a, b) = (Key::random().unwrap(), Key::random().unwrap());
        assert_ne!(a.hash(b"krunker.io"), b.hash(b"krunker.io"));
    }
}
