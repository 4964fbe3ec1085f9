//! May an answer be stored, and for how long is it fresh (RFC 9111)? The box is a shared cache.

use classroom_protocol::Millis;

/// What of an answer's headers counts here, as it came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// All `Cache-Control` values, joined by commas.
    pub cache_control: &'a str,
    /// `Expires`.
    pub expires: Option<&'a str>,
    /// `Date`.
    pub date: Option<&'a str>,
    /// `Age`.
    pub age: Option<&'a str>,
    /// `Last-Modified`.
    pub last_modified: Option<&'a str>,
    /// `Vary`.
    pub vary: Option<&'a str>,
}

/// The longest guess for an answer that says nothing about its freshness: a day.
const LONGEST_GUESS: u64 = 24 * 3_600_000;

/// The value of a directive: `Some("")` for one without a value.
fn directive<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    list.split(',').map(str::trim).find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// Whether a shared cache may keep the answer (RFC 9111 §3). A teacher who pins a page that forbids copies is told so.
pub fn may_store(headers: &Headers<'_>) -> bool {
    let says = |name| directive(headers.cache_control, name).is_some();
    let any = headers.vary.is_some_and(|vary| vary.split(',').any(|name| name.trim() == "*"));
    !says("no-store") && !says("private") && !any
}

/// For how long from now on the answer is fresh, in milliseconds (RFC 9111 §4.2).
pub fn fresh_ms(headers: &Headers<'_>) -> u64 {
    if directive(headers.cache_control, "no-cache").is_some() {
        return 0;
    }
    let seconds = |name| directive(headers.cache_control, name)?.parse::<u64>().ok();
    let date = headers.date.and_then(http_date);
    let lifetime = if let Some(told) = seconds("s-maxage").or_else(|| seconds("max-age")) {
        told.saturating_mul(1000)
    } else if let Some(expires) = headers.expires {
        // An `Expires` that is no date means: expired.
        http_date(expires).zip(date).map_or(0, |(expires, date)| expires.saturating_sub(date))
    } else {
        let changed = headers.last_modified.and_then(http_date);
        let tenth = changed.zip(date).map_or(0, |(changed, date)| date.saturating_sub(changed) / 10);
        tenth.min(LONGEST_GUESS)
    };
    let age = headers.age.and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or(0).saturating_mul(1000);
    lifetime.saturating_sub(age)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in milliseconds since 1970. The two obsolete forms are not read.
pub fn http_date(text: &str) -> Option<Millis> {
    let rest = text.trim().strip_suffix(" GMT")?.split_once(", ")?.1;
    let mut words = rest.split(' ');
    let day: u8 = words.next()?.parse().ok()?;
    let month = match words.next()? {
        "Jan" => time::Month::January,
        "Feb" => time::Month::February,
        "Mar" => time::Month::March,
        "Apr" => time::Month::April,
        "May" => time::Month::May,
        "Jun" => time::Month::June,
        "Jul" => time::Month::July,
        "Aug" => time::Month::August,
        "Sep" => time::Month::September,
        "Oct" => time::Month::October,
        "Nov" => time::Month::November,
        "Dec" => time::Month::December,
        _ => return None,
    };
    let year: i32 = words.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next().is_some() || clock.next().is_some() {
        return None;
    }
    let date = time::Date::from_calendar_date(year, month, day).ok()?;
    let seconds = date.with_hms(hour, minute, second.min(59)).ok()?.assume_utc().unix_timestamp();
    Some(Millis::try_from(seconds).ok()?.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sat, 21 Nov 2026 08:00:00 GMT";

    #[test]
    fn dates() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        for bad in
            ["", "0", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 94 08:49:37 GMT"]
        {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_forbids_copies_is_obeyed() {
        let with = |cache_control| Headers { cache_control, ..Headers::default() };
        assert!(may_store(&with("")) && may_store(&with("public, max-age=60")) && may_store(&with("no-cache")));
        assert!(!may_store(&with("max-age=60, No-Store")) && !may_store(&with("private")));
        assert!(!may_store(&Headers { vary: Some("accept, *"), ..Headers::default() }));
    }

    #[test]
    fn freshness_in_the_order_of_the_standard() {
        let base = Headers { date: Some(NOW), expires: Some("Sat, 21 Nov 2026 08:00:10 GMT"), ..Headers::default() };
        assert_eq!(fresh_ms(&base), 10_000);
        assert_eq!(fresh_ms(&Headers { cache_control: "max-age=60", ..base }), 60_000);
        assert_eq!(fresh_ms(&Headers { cache_control: "max-age=60, s-maxage=\"5\"", ..base }), 5_000);
        assert_eq!(fresh_ms(&Headers { cache_control: "max-age=60", age: Some("50"), ..base }), 10_000);
        assert_eq!(fresh_ms(&Headers { cache_control: "no-cache, max-age=60", ..base }), 0);
        assert_eq!(fresh_ms(&Headers { expires: Some("0"), ..base }), 0);
        let guess = Headers { expires: None, last_modified: Some("Sat, 21 Nov 2026 07:00:00 GMT"), ..base };
        assert_eq!(fresh_ms(&guess), 360_000);
        let old = Headers { last_modified: Some("Sat, 21 Nov 2015 07:00:00 GMT"), ..guess };
        assert_eq!(fresh_ms(&old), LONGEST_GUESS);
        assert_eq!(fresh_ms(&Headers::default()), 0);
    }
}
