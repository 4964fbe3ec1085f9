//! Ranges and conditions of a request (RFC 9110 §13, §14): one range is served, several are answered with the whole.

/// Which bytes are answered. Ends are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200 with everything.
    Whole,
    /// 206 with this part.
    Part(u64, u64),
    /// 416: no byte of the object is in the range.
    Unsatisfiable,
}

/// One range of a `Range` header, before the size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// `first-` or `first-last` (inclusive).
    From(u64, Option<u64>),
    /// `-length`: the last bytes.
    Last(u64),
}

/// Reads a `Range` header. `None` when it is to be ignored: other units, several ranges, no range at all.
fn wish(header: &str) -> Option<Wish> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A number beyond 64 bits lies behind every object.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => number(last).map(Wish::Last),
        (false, true) => Some(Wish::From(number(first)?, None)),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Wish::From(first, Some(last)))
        }
    }
}

/// What a `Range` header gets of an object of `size` bytes.
pub fn answer(header: Option<&str>, size: u64) -> Answer {
    match header.and_then(wish) {
        None => Answer::Whole,
        Some(Wish::From(first, _)) if first >= size => Answer::Unsatisfiable,
        Some(Wish::From(first, last)) => {
            Answer::Part(first, last.map_or(size, |last| last.saturating_add(1).min(size)))
        }
        Some(Wish::Last(0)) => Answer::Unsatisfiable,
        Some(Wish::Last(_)) if size == 0 => Answer::Unsatisfiable,
        Some(Wish::Last(length)) => Answer::Part(size.saturating_sub(length), size),
    }
}

/// Where a reader will begin, as far as that can be told before the size is known: a hint for the fill.
pub fn begins(header: Option<&str>) -> u64 {
    match header.and_then(wish) {
        Some(Wish::From(first, _)) => first,
        _ => 0,
    }
}

/// Whether `If-None-Match` says that the reader has this very content (weak comparison).
pub fn none_match(header: Option<&str>, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    header.is_some_and(|list| list.trim() == "*" || list.split(',').any(|tag| bare(tag) == bare(etag)))
}

/// Whether `If-Range` lets the range stand: the tag must be this very one (strong comparison). Dates never match, as
/// the box sends none that is strong.
pub fn if_range(header: Option<&str>, etag: &str) -> bool {
    header.is_none_or(|tag| tag.trim() == etag && !etag.starts_with("W/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_as_the_standard_has_them() {
        for (header, expected) in [
            ("bytes=0-499", Answer::Part(0, 500)),
            ("bytes=500-", Answer::Part(500, 1000)),
            ("bytes=-500", Answer::Part(500, 1000)),
            ("bytes=-5000", Answer::Part(0, 1000)),
            ("bytes=999-99999", Answer::Part(999, 1000)),
            ("BYTES = 0-0", Answer::Part(0, 1)),
            ("bytes=1000-", Answer::Unsatisfiable),
            ("bytes=-0", Answer::Unsatisfiable),
            ("bytes=99999999999999999999999-", Answer::Unsatisfiable),
            ("bytes=0-99999999999999999999999", Answer::Part(0, 1000)),
            ("bytes=0-1,5-6", Answer::Whole),
            ("bytes=5-4", Answer::Whole),
            ("bytes=-", Answer::Whole),
            ("bytes=a-b", Answer::Whole),
            ("bytes=+1-2", Answer::Whole),
            ("items=0-1", Answer::Whole),
            ("", Answer::Whole),
        ] {
            assert_eq!(answer(Some(header), 1000), expected, "{header}");
        }
        assert_eq!(answer(None, 0), Answer::Whole);
        assert_eq!(answer(Some("bytes=0-"), 0), Answer::Unsatisfiable);
        assert_eq!(answer(Some("bytes=-1"), 0), Answer::Unsatisfiable);
        assert_eq!((begins(Some("bytes=70-")), begins(Some("bytes=-7")), begins(None)), (70, 0, 0));
    }

    #[test]
    fn conditions() {
        assert!(none_match(Some("\"a\", W/\"b\""), "\"b\"") && none_match(Some("*"), "\"x\""));
        assert!(!none_match(Some("\"a\""), "\"b\"") && !none_match(None, "\"b\""));
        assert!(if_range(None, "\"a\"") && if_range(Some("\"a\""), "\"a\""));
        assert!(!if_range(Some("\"b\""), "\"a\"") && !if_range(Some("Sat, 01 Jan 2022 00:00:00 GMT"), "\"a\""));
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_nor_outside(header in "(bytes)?=?[0-9 ,-]{0,20}", size in 0u64..2000) {
            if let Answer::Part(from, to) = answer(Some(&header), size) {
                prop_assert!(from < to && to <= size);
            }
        }
    }
}
