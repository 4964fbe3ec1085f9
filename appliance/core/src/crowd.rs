//! Who may come in when many stand at the door: connections by address, and pages by whose they are.

use std::{collections::BTreeMap, net::IpAddr};

use classroom_protocol::ProblemCode;

/// Connections of one address (IPv6: of one /64) at once. A whole class behind one translator with 40 pages of six
/// connections each is 240; a further one is hung up on at once.
pub const CONNECTIONS_EACH: usize = 512;
/// Connections of all addresses together. When they are there, a new one is hung up on at once: those that say nothing
/// are gone in seconds, so that the next try finds a place.
pub const CONNECTIONS: usize = 2048;
/// So many of them are for the box itself (its own panel, the operator) and nobody else.
pub const CONNECTIONS_OWN: usize = 32;

/// The connections that are open, by address.
#[derive(Debug, Default)]
pub struct Crowd {
    each: BTreeMap<IpAddr, usize>,
    all: usize,
}

/// What counts as one address, wherever addresses are counted: hosts of IPv6 have a whole /64 to themselves.
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        other => other,
    }
}

impl Crowd {
    /// Whether one more connection of `address` may come in; then it counts until [`Self::leave`].
    pub fn enter(&mut self, address: IpAddr) -> bool {
        let most = if address.to_canonical().is_loopback() { CONNECTIONS } else { CONNECTIONS - CONNECTIONS_OWN };
        let key = counted(address);
        if self.all >= most || self.each.get(&key).is_some_and(|count| *count >= CONNECTIONS_EACH) {
            return false;
        }
        self.all += 1;
        *self.each.entry(key).or_default() += 1;
        true
    }

    /// How many are in.
    pub fn inside(&self) -> usize {
        self.all
    }

    /// A connection of `address` that had come in has ended.
    pub fn leave(&mut self, address: IpAddr) {
        let key = counted(address);
        let Some(count) = self.each.get_mut(&key) else { return };
        *count -= 1;
        self.all -= 1;
        if *count == 0 {
            self.each.remove(&key);
        }
    }
}

/// Open pages of one pass, one account or one panel. With a further one the oldest gives way.
pub const PAGES_EACH: usize = 4;
/// Most places that are kept for staff and panels; at least a quarter of a small box's.
pub const PAGES_KEPT: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    number: u64,
    who: String,
    guest: bool,
}

/// The open pages (`/api/ws`), the oldest first.
#[derive(Debug)]
pub struct Pages {
    most: usize,
    open: Vec<Page>,
    next: u64,
}

/// A page that may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// The number of its place.
    pub number: u64,
    /// The place of the page that has to go for it.
    pub gives_way: Option<u64>,
}

impl Pages {
    /// Room for `most` pages in all.
    pub fn new(most: usize) -> Self {
        Self { most, open: Vec::new(), next: 0 }
    }

    /// A page of `who` opens. `guest`: neither staff nor a panel.
    ///
    /// # Errors
    /// `full` when all places are taken, for guests already when only those kept for staff and panels are left.
    pub fn enter(&mut self, who: &str, guest: bool) -> Result<Entered, ProblemCode> {
        let mut own = self.open.iter().filter(|page| page.who == who);
        let oldest = own.next().map(|page| page.number);
        let gives_way = oldest.filter(|_| own.count() + 1 >= PAGES_EACH);
        if let Some(number) = gives_way {
            self.leave(number);
        }
        let guests = self.open.iter().filter(|page| page.guest).count();
        let kept = PAGES_KEPT.min(self.most / 4);
        if self.open.len() >= self.most || (guest && guests >= self.most - kept) {
            return Err(ProblemCode::Full);
        }
        let number = self.next;
        self.next += 1;
        self.open.push(Page { number, who: who.to_owned(), guest });
        Ok(Entered { number, gives_way })
    }

    /// The page of this place has closed, or had to go.
    pub fn leave(&mut self, number: u64) {
        self.open.retain(|page| page.number != number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_takes_its_share_and_no_more() {
        let mut crowd = Crowd::default();
        let entered = (0..CONNECTIONS).filter(|_| crowd.enter(at("10.0.0.7"))).count();
        assert_eq!(entered, CONNECTIONS_EACH);
        assert!(crowd.enter(at("10.0.0.8")), "others come in");
        crowd.leave(at("10.0.0.7"));
        assert!(
            crowd.enter(at("::ffff:10.0.0.7")) && !crowd.enter(at("10.0.0.7")),
            "one address however it is written"
        );
        let many = (0..CONNECTIONS).filter(|n| crowd.enter(at(&format!("2001:db8::{n:x}")))).count();
        assert_eq!(many, CONNECTIONS_EACH, "a /64 is one address");
    }

    #[test]
    fn all_together_are_bounded_and_the_box_itself_still_comes_in() {
        let mut crowd = Crowd::default();
        let all: Vec<IpAddr> = (0..8).map(|n| at(&format!("10.0.1.{n}"))).collect();
        let entered = all.iter().flat_map(|address| [address; 512]).filter(|address| crowd.enter(**address)).count();
        assert_eq!(entered, CONNECTIONS - CONNECTIONS_OWN);
        let own = (0..100).filter(|_| crowd.enter(at("127.0.0.1"))).count();
        assert_eq!(own, CONNECTIONS_OWN);
        all.iter().for_each(|address| (0..512).for_each(|_| crowd.leave(*address)));
        (0..own).for_each(|_| crowd.leave(at("127.0.0.1")));
        assert_eq!((crowd.all, crowd.each.len()), (0, 0));
    }

    #[test]
    fn of_one_pass_the_oldest_page_gives_way() {
        let mut pages = Pages::new(200);
        let first: Vec<_> = (0..4).map(|_| pages.enter("student 1", true).unwrap()).collect();
        assert!(first.iter().all(|entered| entered.gives_way.is_none()));
        assert_eq!(pages.enter("student 1", true).unwrap().gives_way, Some(first[0].number));
        assert_eq!(pages.enter("student 1", true).unwrap().gives_way, Some(first[1].number));
        assert_eq!(pages.enter("student 2", true).unwrap().gives_way, None);
        // The one that had to go says so when it is gone; nobody else's place is taken back by that.
        pages.leave(first[0].number);
        assert_eq!(pages.open.len(), 5);
    }

    #[test]
    fn places_are_kept_for_staff_and_panels() {
        let mut pages = Pages::new(200);
        let guests = (0..300).filter(|n| pages.enter(&format!("student {n}"), true).is_ok()).count();
        assert_eq!(guests, 168);
        assert!(pages.enter("staff 1", false).is_ok() && pages.enter("display 1", false).is_ok());
        let staff = (2..300).filter(|n| pages.enter(&format!("staff {n}"), false).is_ok()).count();
        assert_eq!(staff, 30, "and they are bounded too");
        // A small box keeps a quarter.
        let mut pages = Pages::new(4);
        assert_eq!((0..9).filter(|n| pages.enter(&format!("student {n}"), true).is_ok()).count(), 3);
    }
}
