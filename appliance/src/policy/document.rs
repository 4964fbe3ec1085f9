//! The school's document: which one counts, also when the one in the file can't be used.

use std::{fs, io, path::Path};

use appliance_core::policy::{Document, Policy};
use classroom_protocol::{
    catalogue::Lang,
    policy::{Instead, UnusedDocument},
};
use serde::Deserialize;

use crate::console;

/// The document that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The document.
    pub document: Document,
    /// Why it is not the one in the file. None: it is, or there is no file.
    pub unused: Option<UnusedDocument>,
}

/// The document in `document.json`; without the file the one that comes with the box. One that can't be used leaves the
/// one `before`, or after a restart the one that counted last: what the school has closed stays closed.
///
/// # Errors
/// When not even the one that comes with the box can be read, which never is in a program whose tests pass.
pub fn in_use(folder: &Path, before: Option<&Document>) -> anyhow::Result<InUse> {
    let reason = match fs::read_to_string(folder.join("document.json")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(InUse { document: Document::standard()?, unused: None });
        }
        Err(error) => error.to_string(),
        Ok(text) => match checked(&text, console::language()) {
            Ok(document) => return Ok(InUse { document, unused: None }),
            Err(found) => found.join("; "),
        },
    };
    let standard = Document::standard()?;
    let last = before.cloned().or_else(|| last_good(folder)).filter(|last| *last != standard);
    let instead = if last.is_some() { Instead::LastGood } else { Instead::Standard };
    Ok(InUse { document: last.unwrap_or(standard), unused: Some(UnusedDocument { reason, instead }) })
}

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it, a sentence each.
pub fn checked(text: &str, lang: Lang) -> Result<Document, Vec<String>> {
    let document = Document::parse(text).map_err(|error| vec![error.told(lang)])?;
    match Policy::new(document.clone()) {
        Ok(_) => Ok(document),
        Err(found) => Err(found.iter().map(|one| one.told(lang)).collect()),
    }
}

/// What counted when the resolver's snapshot was written last. Of the snapshot's other parts nothing is needed, so one
/// that another version of the program wrote is good too.
fn last_good(folder: &Path) -> Option<Document> {
    #[derive(Deserialize)]
    struct Kept {
        document: Document,
    }
    let text = fs::read(folder.join("snapshot.json")).ok()?;
    let Kept { document } = serde_json::from_slice(&text).ok()?;
    Policy::new(document.clone()).ok().map(|_| document)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_document_that_cannot_be_used_leaves_the_one_before_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let look = |before: Option<&Document>| in_use(folder.path(), before).unwrap();
        let standard = Document::standard().unwrap();
        assert_eq!(look(None), InUse { document: standard.clone(), unused: None });
        let mut own = standard.clone();
        own.revision = "own".into();
        put("document.json", &own.to_json().unwrap());
        assert_eq!(look(Some(&standard)), InUse { document: own.clone(), unused: None });
        let contradiction = Document { rules: vec![], ..own.clone() }.to_json().unwrap();
        for wrong in ["{\"schema\":1}", "", contradiction.as_str()] {
            put("document.json", wrong);
            let kept = look(Some(&own));
            assert_eq!(kept.document, own);
            let unused = kept.unused.unwrap();
            assert!(unused.instead == Instead::LastGood && !unused.reason.is_empty(), "{unused:?}");
            // Nothing was ever good, as far as this box knows.
            let never = look(None);
            assert_eq!((never.document, never.unused.unwrap().instead), (standard.clone(), Instead::Standard));
        }
        let snapshot = serde_json::json!({ "schema": 7, "document": own, "another version's": [] });
        put("snapshot.json", &snapshot.to_string());
        let again = look(None);
        assert_eq!((again.document, again.unused.unwrap().instead), (own.clone(), Instead::LastGood));
        let told = checked("{\"schema\":1,\"revision\":\"x\",\"rule\":[]}", Lang::ZhHantTw).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with("rule: 沒有「rule」這個欄位"), "{told:?}");
        let told = checked(&contradiction, Lang::ZhHantTw).unwrap_err();
        assert!(told.iter().any(|one| one.starts_with("rules: 沒有任何規定")), "{told:?}");
        put("snapshot.json", "{\"document\":{}}");
        assert_eq!(look(None).document, standard);
    }
}
