//! What an origin's answer means for the content that is there already: go on, or start anew without mixing bytes.

use classroom_protocol::Millis;
use serde::{Deserialize, Serialize};

use super::freshness;

/// What tells one state of an origin's object from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag` as it came.
    pub etag: Option<String>,
    /// `Last-Modified` as it came.
    pub last_modified: Option<String>,
    /// `Date` of the answer.
    pub date: Option<String>,
}

impl Validators {
    /// What may stand in `If-Range`: a strong tag, or a modification so long before the answer that a second change within
    /// the same second is ruled out (RFC 9110 §8.8.2.2).
    pub fn strong(&self) -> Option<&str> {
        if let Some(tag) = self.etag.as_deref() {
            return (tag.starts_with('"') && tag.len() > 2).then_some(tag);
        }
        let changed = self.last_modified.as_deref()?;
        let (at, said) = (freshness::http_date(changed)?, freshness::http_date(self.date.as_deref()?)?);
        (said >= at + 60_000).then_some(changed)
    }

    /// Whether `other` surely is the same state.
    fn same(&self, other: &Self) -> bool {
        match (&self.etag, &other.etag) {
            (Some(mine), Some(theirs)) => mine == theirs && self.strong().is_some(),
            // An origin that leaves the tag out of a 206 must at least not contradict.
            (_, None) => {
                self.strong().is_some() && (other.last_modified.is_none() || self.last_modified == other.last_modified)
            }
            (None, Some(_)) => false,
        }
    }
}

/// An origin's answer, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Bytes of the body, if told.
    pub length: Option<u64>,
    /// First byte, one past the last, and the whole size of `Content-Range`.
    pub range: Option<(u64, u64, Option<u64>)>,
    /// Its validators.
    pub validators: Validators,
}

/// What was known of the object before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its size.
    pub size: Option<u64>,
    /// Its validators.
    pub validators: Validators,
}

/// What the answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The body continues what is there, from this byte on.
    Body {
        /// Where its first byte belongs.
        from: u64,
        /// One past its last byte, if told.
        to: Option<u64>,
        /// Size of the whole object, if told.
        size: Option<u64>,
    },
    /// The object has changed, or it can't be proved that it has not: what is there is not touched any more, and this body,
    /// if it is one from the start, begins the new state.
    Changed {
        /// The body of this answer is the new state from its first byte on.
        usable: bool,
        /// Size of the new state, if told.
        size: Option<u64>,
    },
    /// Nothing has changed since (304).
    Same,
    /// The origin refuses: no use in asking again before someone has looked.
    Refused(u16),
    /// The origin has a bad moment: ask again later.
    Later(u16),
}

/// Reads `Content-Range: bytes 0-499/1234`.
pub fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let rest = text.trim().strip_prefix("bytes")?.trim_start();
    let (range, whole) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let whole = match whole.trim() {
        "*" => None,
        number => Some(number.parse::<u64>().ok()?),
    };
    let fits = first <= last && whole.is_none_or(|whole| last < whole);
    fits.then(|| (first, last.saturating_add(1), whole))
}

/// What `answer` to a request for the bytes from `asked` on means. `known` is `None` for an object of which nothing is
/// there yet.
pub fn meaning(answer: &Answer, asked: u64, known: Option<&Known>) -> Meaning {
    match (answer.status, known) {
        (304, _) => Meaning::Same,
        (200, None) => Meaning::Body { from: 0, to: answer.length, size: answer.length },
        (200, Some(known)) => {
            // The range was ignored: the same state from its first byte is as good, if it is surely the same.
            if known.validators.same(&answer.validators) && (known.size.is_none() || known.size == answer.length) {
                Meaning::Body { from: 0, to: answer.length, size: answer.length }
            } else {
                Meaning::Changed { usable: true, size: answer.length }
            }
        }
        (206, known) => match answer.range {
            Some((from, to, size)) if from == asked => match known {
                None => Meaning::Body { from, to: Some(to), size },
                Some(known) => {
                    let sized = known.size.is_none() || size.is_none() || known.size == size;
                    if sized && known.validators.same(&answer.validators) {
                        Meaning::Body { from, to: Some(to), size: size.or(known.size) }
                    } else {
                        Meaning::Changed { usable: from == 0 && size == Some(to), size }
                    }
                }
            },
            // An answer to another question.
            _ => Meaning::Later(206),
        },
        // The object became shorter than what is asked for.
        (416, Some(_)) => Meaning::Changed { usable: false, size: None },
        (408 | 425 | 429 | 500..=599, _) => Meaning::Later(answer.status),
        (status, _) => Meaning::Refused(status),
    }
}

/// When an object was last in order at its origin, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// When it was fetched or found unchanged.
    pub at: Millis,
    /// For how long it is fresh from then on.
    pub fresh_ms: u64,
}

/// An origin is not asked more often than this whether something has changed, whatever its headers say.
pub const LEAST_PAUSE: u64 = 3_600_000;

impl Checked {
    /// Whether the origin should be asked. Content that is there is served all the while (stale-while-revalidate): a class
    /// does not wait for a line, and with the uplink dead nothing changes (R-CONT-2).
    pub fn due(self, now: Millis) -> bool {
        now.saturating_sub(self.at) >= self.fresh_ms.max(LEAST_PAUSE)
    }
}

/// After a question that brought nothing the origin is left alone for this long, in milliseconds, however many read.
pub const LEFT_ALONE: Millis = 60_000;

/// The question whether an object has changed: one at a time, and none just after one that brought nothing. Who comes
/// meanwhile gets what is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Renewal {
    running: bool,
    failed_at: Option<Millis>,
}

impl Renewal {
    /// Whether the question may be put now.
    pub fn may_begin(self, now: Millis) -> bool {
        // Also when the clock was set back: a pause that never ends would be worse than a question too many.
        !self.running && self.failed_at.is_none_or(|at| now.abs_diff(at) >= LEFT_ALONE)
    }

    /// Begins, if that may be; only who gets `true` puts the question.
    pub fn begin(&mut self, now: Millis) -> bool {
        let may = self.may_begin(now);
        self.running |= may;
        may
    }

    /// The question was answered, or it was not (`well`).
    pub fn end(&mut self, now: Millis, well: bool) {
        *self = Self { running: false, failed_at: (!well).then_some(now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(etag: &str) -> Validators {
        Validators { etag: Some(etag.into()), ..Validators::default() }
    }

    fn known(etag: &str) -> Known {
        Known { size: Some(1000), validators: tag(etag) }
    }

    fn part(from: u64, etag: &str) -> Answer {
        Answer { status: 206, length: Some(1000 - from), range: Some((from, 1000, Some(1000))), validators: tag(etag) }
    }

    #[test]
    fn what_continues_and_what_starts_anew() {
        let whole = Answer { status: 200, length: Some(1000), range: None, validators: tag("\"a\"") };
        assert_eq!(meaning(&whole, 0, None), Meaning::Body { from: 0, to: Some(1000), size: Some(1000) });
        assert_eq!(
            meaning(&part(400, "\"a\""), 400, Some(&known("\"a\""))),
            Meaning::Body { from: 400, to: Some(1000), size: Some(1000) }
        );
        assert_eq!(
            meaning(&part(400, "\"b\""), 400, Some(&known("\"a\""))),
            Meaning::Changed { usable: false, size: Some(1000) }
        );
        // The range was ignored: the same content from the start, or new content.
        assert_eq!(
            meaning(&whole, 400, Some(&known("\"a\""))),
            Meaning::Body { from: 0, to: Some(1000), size: Some(1000) }
        );
        assert_eq!(meaning(&whole, 400, Some(&known("\"b\""))), Meaning::Changed { usable: true, size: Some(1000) });
        // Weak or no validators prove nothing.
        assert!(matches!(meaning(&part(400, "W/\"a\""), 400, Some(&known("W/\"a\""))), Meaning::Changed { .. }));
        let bare = Known { size: Some(1000), validators: Validators::default() };
        let silent = Answer { validators: Validators::default(), ..part(400, "") };
        assert!(matches!(meaning(&silent, 400, Some(&bare)), Meaning::Changed { .. }));
        // Another length is another object, whatever its tag.
        let longer = Answer { range: Some((400, 1001, Some(1001))), ..part(400, "\"a\"") };
        assert!(matches!(meaning(&longer, 400, Some(&known("\"a\""))), Meaning::Changed { .. }));
        assert_eq!(meaning(&part(300, "\"a\""), 400, Some(&known("\"a\""))), Meaning::Later(206));
    }

    #[test]
    fn refusals_and_bad_moments() {
        let status = |status| Answer { status, ..Answer::default() };
        assert_eq!(meaning(&status(404), 0, None), Meaning::Refused(404));
        assert_eq!(meaning(&status(403), 0, None), Meaning::Refused(403));
        assert_eq!(meaning(&status(503), 0, None), Meaning::Later(503));
        assert_eq!(meaning(&status(304), 0, None), Meaning::Same);
        assert_eq!(meaning(&status(416), 9, Some(&known("\"a\""))), Meaning::Changed { usable: false, size: None });
    }

    #[test]
    fn dates_are_strong_when_they_are_old() {
        let dates = |changed: &str, said: &str| Validators {
            etag: None,
            last_modified: Some(changed.into()),
            date: Some(said.into()),
        };
        let old = dates("Sat, 21 Nov 2026 08:00:00 GMT", "Sat, 21 Nov 2026 08:01:00 GMT");
        assert_eq!(old.strong(), Some("Sat, 21 Nov 2026 08:00:00 GMT"));
        assert_eq!(dates("Sat, 21 Nov 2026 08:00:00 GMT", "Sat, 21 Nov 2026 08:00:59 GMT").strong(), None);
        assert_eq!(tag("W/\"a\"").strong(), None);
    }

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 0-499/1234"), Some((0, 500, Some(1234))));
        assert_eq!(content_range("bytes 5-5/*"), Some((5, 6, None)));
        for bad in ["bytes */1234", "bytes 5-4/9", "bytes 0-9/9", "0-1/2", "bytes 0-1", "bytes a-b/c"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_question_at_a_time_and_a_pause_after_one_in_vain() {
        let mut renewal = Renewal::default();
        assert!(renewal.begin(1_000_000));
        assert!((0..35).all(|reader| !renewal.begin(1_000_000 + reader)), "the others get what is there");
        renewal.end(1_000_100, false);
        assert!(!renewal.begin(1_000_100 + LEFT_ALONE - 1) && !renewal.begin(1_000_000));
        assert!(renewal.begin(1_000_100 + LEFT_ALONE));
        renewal.end(1_070_000, true);
        assert!(renewal.may_begin(1_070_000), "what was answered needs no pause: it is not due");
        renewal.end(1_070_000, false);
        assert!(renewal.may_begin(5_000), "a clock set far back");
    }

    #[test]
    fn origins_are_not_bothered() {
        let checked = Checked { at: 1_000, fresh_ms: 0 };
        assert!(!checked.due(1_000 + LEAST_PAUSE - 1) && checked.due(1_000 + LEAST_PAUSE));
        assert!(!Checked { at: 5_000, fresh_ms: 0 }.due(0), "a clock set back is no reason to ask");
    }
}
