//! Minutes of use: signs of use in, stretches of time out. A platform is in use from its first sign to a minute after
//! its last; a pause of up to five minutes belongs to the use, a longer one ends it (R-USE-5, 5 idle minutes).

use std::collections::BTreeMap;

use classroom_protocol::Millis;

/// A longer pause ends the use.
const IDLE: Millis = 5 * 60_000;
/// What one sign of use stands for: devices ask again for a name in use after a minute.
const SIGN: Millis = 60_000;
/// A use that goes on is told in pieces of this length, so that a power cut loses no more.
const PIECE: Millis = 5 * 60_000;

/// A stretch of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Id of the platform; none for the device as such, whatever was used.
    pub platform: Option<String>,
    /// Its beginning.
    pub at: Millis,
    /// How long, in whole seconds, at least one.
    pub seconds: u32,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// Not told yet from here.
    from: Millis,
    last: Millis,
}

impl Span {
    fn until(self) -> Millis {
        self.last.saturating_add(SIGN)
    }
}

/// Counts. Nothing but ids of platforms and times are in it.
#[derive(Debug, Default)]
pub struct Meter {
    open: BTreeMap<Option<String>, Span>,
}

impl Meter {
    /// A sign of use at `at`, of a platform if it was one. `idle` is how long nobody has touched the device, when that
    /// is known: what a device does by itself is no use. While it is not known only platforms count: a device asks for
    /// other names by itself all day.
    pub fn sign(&mut self, platform: Option<&str>, at: Millis, idle: Option<Millis>) -> Vec<Use> {
        if idle.map_or(platform.is_none(), |idle| idle >= IDLE) {
            return vec![];
        }
        let mut ended = self.end(at, idle);
        self.touch(None, at, &mut ended);
        if let Some(platform) = platform {
            self.touch(Some(platform.to_owned()), at, &mut ended);
        }
        ended
    }

    fn touch(&mut self, what: Option<String>, at: Millis, ended: &mut Vec<Use>) {
        let span = self.open.entry(what.clone()).or_insert(Span { from: at, last: at });
        if at < span.last {
            // The clock was set back: what was before is told, the new use begins now.
            ended.extend(told(&what, span.from, span.until()));
            *span = Span { from: at, last: at };
        }
        span.last = at;
    }

    /// What is to be told at `now`: uses that have ended, and long ones so far.
    pub fn look(&mut self, now: Millis, idle: Option<Millis>) -> Vec<Use> {
        let mut all = self.end(now, idle);
        for (what, span) in &mut self.open {
            let known = span.until().min(now);
            if known.saturating_sub(span.from) >= PIECE {
                all.extend(told(what, span.from, known));
                span.from = known;
            }
        }
        all
    }

    /// Ends all uses: the device goes off, or goes to another place.
    pub fn close(&mut self, now: Millis) -> Vec<Use> {
        let open = std::mem::take(&mut self.open);
        open.iter().flat_map(|(what, span)| told(what, span.from, span.until().min(now.max(span.last)))).collect()
    }

    fn end(&mut self, now: Millis, idle: Option<Millis>) -> Vec<Use> {
        let mut ended = Vec::new();
        // Nobody has touched the device since then.
        let touched = idle.filter(|idle| *idle >= IDLE).map(|idle| now.saturating_sub(idle));
        self.open.retain(|what, span| {
            let over = now.saturating_sub(span.last) > IDLE || touched.is_some();
            if over {
                let until = touched.map_or(span.until(), |touched| span.until().min(touched.max(span.from)));
                ended.extend(told(what, span.from, until));
            }
            !over
        });
        ended
    }
}

fn told(what: &Option<String>, from: Millis, until: Millis) -> Option<Use> {
    let seconds = u32::try_from(until.saturating_sub(from) / 1000).unwrap_or(u32::MAX);
    (seconds > 0).then(|| Use { platform: what.clone(), at: from, seconds })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MINUTE: Millis = 60_000;
    const T: Millis = 1_790_000_000_000;

    fn sum(uses: &[Use], platform: Option<&str>) -> u32 {
        uses.iter().filter(|one| one.platform.as_deref() == platform).map(|one| one.seconds).sum()
    }

    #[test]
    fn signs_a_minute_apart_are_one_use_and_the_pause_after_five_minutes_is_cut() {
        let mut meter = Meter::default();
        let mut all = Vec::new();
        for minute in 0..=10 {
            all.extend(meter.sign(Some("adl"), T + minute * MINUTE, None));
            all.extend(meter.look(T + minute * MINUTE, None));
        }
        all.extend(meter.look(T + 40 * MINUTE, None));
        assert_eq!(sum(&all, Some("adl")), 11 * 60);
        assert_eq!(sum(&all, None), 11 * 60, "the device itself was in use as long");
        assert!(meter.look(T + 41 * MINUTE, None).is_empty() && meter.close(T + 41 * MINUTE).is_empty());
    }

    #[test]
    fn a_short_pause_belongs_to_it_and_a_long_one_does_not() {
        let mut meter = Meter::default();
        let mut all = Vec::new();
        for minute in [0, 4, 9, 20] {
            all.extend(meter.sign(Some("adl"), T + minute * MINUTE, None));
        }
        all.extend(meter.look(T + 60 * MINUTE, None));
        assert_eq!(sum(&all, Some("adl")), 10 * 60 + 60);
    }

    #[test]
    fn other_hosts_are_use_of_the_device_only_and_only_while_someone_touches_it() {
        let mut meter = Meter::default();
        for minute in 0..60 {
            assert!(meter.sign(None, T - 90 * MINUTE + minute * MINUTE, None).is_empty());
        }
        assert!(meter.look(T - 1, None).is_empty(), "names that a device asks for in the background");
        assert!(meter.sign(None, T, Some(0)).is_empty());
        assert_eq!(meter.look(T + 9 * MINUTE, None), [Use { platform: None, at: T, seconds: 60 }]);
    }

    #[test]
    fn what_the_device_does_by_itself_is_no_use() {
        let mut meter = Meter::default();
        assert!(meter.sign(Some("adl"), T, Some(6 * MINUTE)).is_empty());
        assert!(meter.look(T + 20 * MINUTE, None).is_empty());
        meter.sign(Some("adl"), T, Some(0));
        meter.sign(Some("adl"), T + 4 * MINUTE, Some(4 * MINUTE));
        let all = meter.look(T + 5 * MINUTE, Some(5 * MINUTE));
        assert_eq!(all, [], "last touched at the very beginning");
    }

    #[test]
    fn a_clock_set_back_or_far_ahead_makes_no_minutes() {
        let mut meter = Meter::default();
        let mut all = meter.sign(Some("adl"), T, None);
        all.extend(meter.sign(Some("adl"), T + 600 * MINUTE, None));
        all.extend(meter.sign(Some("adl"), T, None));
        all.extend(meter.close(T));
        assert!(sum(&all, Some("adl")) <= 3 * 60, "{all:?}");
    }

    #[test]
    fn pieces_add_up_to_the_whole_and_do_not_overlap() {
        let mut meter = Meter::default();
        let mut all = Vec::new();
        for second in (0..3600).step_by(20) {
            all.extend(meter.sign(Some("adl"), T + second * 1000, None));
            all.extend(meter.look(T + second * 1000, None));
        }
        all.extend(meter.close(T + 3600 * 1000));
        let adl: Vec<&Use> = all.iter().filter(|one| one.platform.is_some()).collect();
        assert!(adl.len() >= 10 && sum(&all, Some("adl")) == 3600);
        assert!(adl.windows(2).all(|two| two[0].at + Millis::from(two[0].seconds) * 1000 == two[1].at));
    }
}
