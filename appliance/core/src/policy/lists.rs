//! Whether a list that was read takes the place of the one before. A download that broke off, an error page in the list's
//! place or an empty file must not open what the list had closed.

pub use classroom_protocol::policy::ListFault as Fault;

/// What is wrong with a list of so many names and so many lines that make no sense; none when it can be used. Lists of
/// the world have some bad lines, so only one that is mostly nonsense is none.
pub fn fault(names: usize, bad: usize) -> Option<Fault> {
    match (names, bad) {
        (0, 0) => Some(Fault::Empty),
        (names, bad) if bad > names => Some(Fault::Nonsense),
        _ => None,
    }
}

/// Where the names of a list are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From its file.
    File,
    /// The file has a fault: from what was good before.
    Before,
    /// The file has a fault and nothing was good before: what can be understood of it. More is closed, never less.
    Rest,
}

/// Which names count.
pub fn source(fault: Option<Fault>, good_before: bool) -> Source {
    match (fault, good_before) {
        (None, _) => Source::File,
        (Some(_), true) => Source::Before,
        (Some(_), false) => Source::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_page_and_an_empty_file_are_no_lists() {
        assert_eq!(fault(0, 1), Some(Fault::Nonsense), "an HTML page in one line");
        assert_eq!(fault(3, 40), Some(Fault::Nonsense), "a page with words that look like names");
        assert_eq!(fault(0, 0), Some(Fault::Empty), "nothing, or comments only");
        assert_eq!(fault(1_000_000, 12), None, "the world's lists have some");
        assert_eq!(fault(1, 1), None);
    }

    #[test]
    fn what_was_closed_stays_closed_when_the_list_is_spoilt() {
        assert_eq!(source(None, true), Source::File);
        assert_eq!(source(None, false), Source::File);
        for fault in [Fault::Empty, Fault::Nonsense, Fault::Unreadable] {
            assert_eq!(source(Some(fault), true), Source::Before);
            assert_eq!(source(Some(fault), false), Source::Rest);
        }
    }
}
