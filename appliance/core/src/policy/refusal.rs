//! What a name server says to who is refused: rule, reason and who can change it, in both languages (R-POL-22).

use classroom_protocol::catalogue::{self, Lang};

use super::Decision;

/// The longest text of a refusal, in bytes: an answer by UDP must hold it (RFC 8914 §4).
const LONGEST: usize = 400;

/// The text of a refusal, cut where an answer would grow too long.
pub fn refusal(decision: &Decision) -> String {
    let words = |lang| {
        let text = |key| catalogue::text(lang, key);
        format!("{} ({})", text(decision.reason.key()), text(decision.changer.key()))
    };
    let mut text = format!("{}: {} / {}", decision.rule, words(Lang::ZhHantTw), words(Lang::En));
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Changer, Reason, RuleId};

    #[test]
    fn every_refusal_names_rule_reason_and_changer_in_both_languages_and_is_short() {
        for &reason in Reason::ALL {
            for &changer in Changer::ALL {
                let rule = RuleId::new(7);
                let decision =
                    Decision { allow: false, rule, reason, changer, until: None, record: false, alert: None };
                let told = refusal(&decision);
                assert!(told.starts_with(&format!("{rule}: ")) && told.len() <= LONGEST, "{told}");
                for lang in [Lang::ZhHantTw, Lang::En] {
                    let words = catalogue::text(lang, reason.key());
                    assert!(told.contains(words) && told.contains(catalogue::text(lang, changer.key())), "{told}");
                }
            }
        }
    }
}
