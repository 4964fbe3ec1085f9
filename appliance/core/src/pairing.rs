//! How a panel comes to its room: it shows six digits, a teacher types them.

use std::net::IpAddr;

use classroom_protocol::Millis;

use crate::crowd::counted;

/// A panel waits for at most this long.
pub const PATIENCE: Millis = 10 * 60_000;

/// So many panels may wait at once; the oldest gives way. Many more than a room ever has, so that a few visitors who ask
/// in a loop neither push out the panel nor fill the memory.
pub const MOST_WAITING: usize = 256;

/// So many of them at one address (IPv6: one /64): several panels may come through one translator, and one that is
/// started anew leaves its former self behind. With a further one that gives way which has not asked for the longest.
pub const WAITING_EACH: usize = 4;

/// Panels ask every second; one that has not asked for this long is not there any more.
const THERE: Millis = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// A teacher typed the code; the token waits to be fetched once.
    Paired(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Guest {
    id: String,
    code: String,
    name: String,
    /// Its address, as it counts.
    from: IpAddr,
    since: Millis,
    /// When it asked last.
    heard: Millis,
    stage: Stage,
}

/// The panels that wait.
#[derive(Debug, Default)]
pub struct Pairing {
    guests: Vec<Guest>,
}

/// How a waiting panel stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Ask again.
    Waiting,
    /// Paired, with this token. It is told once.
    Paired(String),
    /// Unknown, or it waited too long.
    Over,
}

impl Pairing {
    /// A panel at the address `from` begins to wait. `id` is a secret of the panel, `code` is shown on it. One of those
    /// that wait at that address gives way when there are [`WAITING_EACH`].
    pub fn begin(&mut self, id: String, code: String, name: String, from: IpAddr, now: Millis) {
        self.forget_old(now);
        let from = counted(from);
        // A code must name one panel only; the newer one has it. Who is paired fetches its token in peace.
        self.guests.retain(|guest| guest.stage != Stage::Waiting || guest.code != code);
        let own = self.guests.iter().filter(|guest| guest.stage == Stage::Waiting && guest.from == from);
        if own.clone().count() >= WAITING_EACH
            && let Some(id) = own.min_by_key(|guest| guest.heard).map(|guest| guest.id.clone())
        {
            self.guests.retain(|guest| guest.id != id);
        }
        if self.guests.len() >= MOST_WAITING {
            self.guests.remove(0);
        }
        self.guests.push(Guest { id, code, name, from, since: now, heard: now, stage: Stage::Waiting });
    }

    /// Name of the panel that shows this code.
    pub fn find(&mut self, code: &str, now: Millis) -> Option<&str> {
        self.forget_old(now);
        let waiting = |guest: &&Guest| guest.stage == Stage::Waiting && guest.code == code;
        self.guests.iter().find(waiting).map(|guest| guest.name.as_str())
    }

    /// A teacher typed `code`: the panel gets `token` when it asks next. `false` when no panel shows that code.
    pub fn approve(&mut self, code: &str, token: String, now: Millis) -> bool {
        self.forget_old(now);
        let guest = self.guests.iter_mut().find(|guest| guest.stage == Stage::Waiting && guest.code == code);
        guest.map(|guest| guest.stage = Stage::Paired(token)).is_some()
    }

    /// The panel asks how it stands.
    pub fn ask(&mut self, id: &str, now: Millis) -> Answer {
        self.forget_old(now);
        let Some(at) = self.guests.iter().position(|guest| guest.id == id) else { return Answer::Over };
        match &self.guests[at].stage {
            Stage::Waiting => {
                self.guests[at].heard = now;
                Answer::Waiting
            }
            Stage::Paired(token) => {
                let token = token.clone();
                self.guests.remove(at);
                Answer::Paired(token)
            }
        }
    }

    /// Whether any panel waits for its code to be typed.
    pub fn anyone_waits(&mut self, now: Millis) -> bool {
        self.forget_old(now);
        self.guests.iter().any(|guest| guest.stage == Stage::Waiting && now < guest.heard + THERE)
    }

    fn forget_old(&mut self, now: Millis) {
        self.guests.retain(|guest| now < guest.since + PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(pairing: &mut Pairing, n: usize, now: Millis) {
        let from = IpAddr::from([10, 0, (n / 256) as u8, (n % 256) as u8]);
        pairing.begin(format!("id{n}"), format!("{n:06}"), format!("panel {n}"), from, now);
    }

    #[test]
    fn a_panel_is_paired_by_its_code_and_told_its_token_once() {
        let mut pairing = Pairing::default();
        begin(&mut pairing, 1, 0);
        assert_eq!(pairing.ask("id1", 1), Answer::Waiting);
        assert!(!pairing.approve("999999", "t".into(), 1));
        assert_eq!(pairing.find("000001", 1), Some("panel 1"));
        assert!(pairing.approve("000001", "t".into(), 1));
        assert!(!pairing.anyone_waits(1));
        assert_eq!(pairing.ask("id1", 2), Answer::Paired("t".into()));
        assert_eq!(pairing.ask("id1", 2), Answer::Over);
    }

    #[test]
    fn waiting_ends_and_the_crowd_is_bounded() {
        let mut pairing = Pairing::default();
        (0..MOST_WAITING + 1).for_each(|n| begin(&mut pairing, n, 0));
        assert_eq!(pairing.ask("id0", 1), Answer::Over);
        assert_eq!(pairing.ask("id1", 1), Answer::Waiting);
        assert_eq!(pairing.guests.len(), MOST_WAITING);
        assert_eq!(pairing.ask("id1", PATIENCE), Answer::Over);
        assert!(!pairing.anyone_waits(PATIENCE));
    }

    #[test]
    fn who_asks_in_a_loop_pushes_out_nobody_but_itself() {
        let mut pairing = Pairing::default();
        begin(&mut pairing, 1, 0);
        let visitor = IpAddr::from([10, 0, 0, 99]);
        // A host of IPv6 has as many addresses as it likes.
        let roaming = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, n, 0, 0, n]);
        for n in 0..1000 {
            pairing.begin(format!("v{n}"), format!("{:06}", 500 + n), "x".into(), visitor, 1);
            pairing.begin(format!("w{n}"), format!("{:06}", 5000 + n), "x".into(), roaming(n), 1);
        }
        assert_eq!(pairing.ask("id1", 2), Answer::Waiting);
        assert_eq!(pairing.guests.len(), 1 + 2 * WAITING_EACH);
        // Its token waits for a panel that asks anew at that very moment.
        assert!(pairing.approve("000001", "t".into(), 3));
        begin(&mut pairing, 1, 4);
        assert_eq!(pairing.ask("id1", 5), Answer::Paired("t".into()));
    }

    #[test]
    fn panels_at_one_address_wait_side_by_side() {
        let mut pairing = Pairing::default();
        let translator = IpAddr::from([10, 0, 0, 1]);
        let enter = |pairing: &mut Pairing, n: usize, now| {
            pairing.begin(format!("id{n}"), format!("{n:06}"), format!("panel {n}"), translator, now);
        };
        for n in 0..WAITING_EACH {
            enter(&mut pairing, n, 0);
        }
        // All ask on but the third, which was switched off: it gives way, and with it nobody else.
        for n in [0, 1, 3] {
            assert_eq!(pairing.ask(&format!("id{n}"), 1000), Answer::Waiting, "panel {n}");
        }
        enter(&mut pairing, 4, 1500);
        for n in [0, 1, 3, 4] {
            assert_eq!(pairing.ask(&format!("id{n}"), 2000), Answer::Waiting, "panel {n}");
        }
        assert_eq!(pairing.ask("id2", 2000), Answer::Over);
        for n in [0, 1, 3] {
            assert!(pairing.approve(&format!("{n:06}"), format!("t{n}"), 2000));
            assert_eq!(pairing.ask(&format!("id{n}"), 2001), Answer::Paired(format!("t{n}")));
        }
        // The teacher is not told of one that has gone.
        assert!(pairing.anyone_waits(2000 + THERE - 1));
        assert!(!pairing.anyone_waits(2000 + THERE));
    }
}
