//! Names as people have them: every script and emoji, and nothing that is not seen or turns the line around.

use std::ops::RangeInclusive;

/// Characters that are not seen or change how others are shown (Unicode's category Cf, separators of lines, fillers).
/// Two names that look the same could differ by them, and a name could turn the rest of its line around.
const UNSEEN: &[RangeInclusive<char>] = &[
    '\u{ad}'..='\u{ad}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{115f}'..='\u{1160}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff9}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e007f}',
];

/// Characters that are part of a name beside others and leave a blank alone: accents, signs that choose how the one before
/// is drawn, fillers, the empty pattern of Braille.
const NEVER_ALONE: &[RangeInclusive<char>] = &[
    '\u{300}'..='\u{36f}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{1ab0}'..='\u{1aff}',
    '\u{1dc0}'..='\u{1dff}',
    '\u{20d0}'..='\u{20ff}',
    '\u{2800}'..='\u{2800}',
    '\u{302a}'..='\u{302f}',
    '\u{3099}'..='\u{309a}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{fe20}'..='\u{fe2f}',
    '\u{1d159}'..='\u{1d159}',
    '\u{e0100}'..='\u{e01ef}',
];

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';

/// Whether emoji are made of it: pictures, their colours and the sign that makes a letter a picture.
fn pictorial(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{fe0f}')
}

/// Whether its script joins letters, so that joiners are part of how a name is written: Arabic to Myanmar.
fn joins(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{109f}')
}

/// The characters of a text, and of each whether no name has it: a control, or one that is not seen. Joiners are well between
/// parts of an emoji and between letters of scripts that need them.
fn judged(text: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut before, mut rest) = (None, text.chars());
    std::iter::from_fn(move || {
        let c = rest.next()?;
        let neighbours = before.zip(rest.clone().next());
        let meant = match c {
            JOINER => neighbours.is_some_and(|(a, b)| pictorial(a) && pictorial(b) || joins(a) && joins(b)),
            NON_JOINER => neighbours.is_some_and(|(a, b)| joins(a) && joins(b)),
            _ => false,
        };
        before = Some(c);
        Some((c, !meant && (c.is_control() || UNSEEN.iter().any(|range| range.contains(&c)))))
    })
}

/// Whether a text has characters that no name has: controls, and those that are not seen.
pub fn has_unseen(text: &str) -> bool {
    judged(text).any(|(_, unseen)| unseen)
}

/// A text without the characters that no name has.
pub fn without_unseen(text: &str) -> String {
    judged(text).filter(|(_, unseen)| !unseen).map(|(c, _)| c).collect()
}

/// Whether anything of a text is seen when it stands alone.
pub fn is_seen(text: &str) -> bool {
    let within = |ranges: &[RangeInclusive<char>], c| ranges.iter().any(|range| range.contains(&c));
    text.chars().any(|c| !c.is_whitespace() && !c.is_control() && !within(UNSEEN, c) && !within(NEVER_ALONE, c))
}

/// A name of at most `most` characters without the blanks around it. `None` when nothing is seen of it, it is too long or has
/// what no name has ([`has_unseen`]).
pub fn name(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    let fits = is_seen(text) && text.chars().count() <= most && !has_unseen(text);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds_are_names() {
        for text in [
            "王小明",
            "林莎瓦·巴魯·阿里夫",
            "👩‍👩‍👧‍👦 🇹🇼",
            "❤️‍🔥",
            "👩🏽‍🚀",
            "陳\u{20bb7}\u{301}",
            "ابن‌سینا",
            "ක්‍රිෂාන්",
            "Søn O'Neill",
            "\u{e001}", // Rare characters of Taiwan's registers are written in the private area.
        ] {
            assert_eq!(name(&format!(" {text}\u{3000}"), 60).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_not_seen_is_no_name() {
        for text in [
            "王\u{200b}小明",
            "王\u{202e}小明",
            "\u{200d}",
            "a\u{200d}b",
            "👩\u{200d}",
            "王\u{200c}小明",
            "a\u{ad}b",
            "\u{feff}王",
            "王\u{2066}小明",
            "a\u{2028}b",
            "a\nb",
            "\u{3164}",
            "a\u{e0041}",
            "\u{7f}",
            // Part of names, and no name by themselves.
            "\u{fe0f}",
            "\u{fe0f}\u{200d}\u{fe0f}",
            "\u{2800}",
            "\u{2800} \u{2800}",
            "\u{301}",
            "\u{e0100}",
            "\u{34f}",
        ] {
            assert_eq!(name(text, 60), None, "{text:?}");
        }
        assert_eq!((name("", 60), name("\u{3000}", 60), name("aaa", 2)), (None, None, None));
    }
}
