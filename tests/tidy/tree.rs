//! The repository's files as the rules read them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A text file of the repository.
pub(crate) struct File {
    /// Path from the repository's root.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

impl File {
    /// Rust that ships: not a test, not the tests' crate.
    pub(crate) fn is_shipped_rust(&self) -> bool {
        let test = self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/fuzz/")
            || self.path.ends_with("/tests.rs");
        self.path.ends_with(".rs") && !test
    }

    /// The lines of Rust code with their numbers, from 1: without comments, without `#[cfg(test)]` items.
    pub(crate) fn code(&self) -> Vec<(usize, &str)> {
        let mut code = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((n, line)) = lines.next() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                let indent = &line[..line.len() - line.trim_start().len()];
                let attribute = |line: &str| line.trim_start().starts_with("#[");
                let Some((_, item)) = lines.find(|(_, line)| !attribute(line)) else { break };
                if !item.ends_with(';') {
                    // The item ends where rustfmt closes it: at its own indentation.
                    let end = format!("{indent}}}");
                    let _ = lines.find(|(_, line)| *line == end);
                }
                continue;
            }
            let line = line.split(" // ").next().unwrap_or(line);
            if !line.trim_start().starts_with("//") && !line.trim().is_empty() {
                code.push((n + 1, line));
            }
        }
        code
    }

    /// `path:line: text` of the code lines that `wrong` points out.
    pub(crate) fn lines_with<'a>(&'a self, wrong: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = String> + 'a {
        self.code()
            .into_iter()
            .filter(move |(_, line)| wrong(line))
            .map(|(n, line)| format!("{}:{n}: {}", self.path, line.trim()))
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").into()
}

/// Every text file that git tracks or would track.
pub(crate) fn files() -> Vec<File> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let files: Vec<File> = paths
        .lines()
        // Deleted but not yet committed, and pictures, are no text.
        .filter_map(|path| Some(File { path: path.into(), text: fs::read_to_string(root().join(path)).ok()? }))
        .collect();
    assert!(files.len() > 20, "the repository has more files than {}", files.len());
    files
}

/// The text of one file.
pub(crate) fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// What stands in quotes in a source text of any language, cut at the first `$` or `{`. The flag says whether it was
/// cut there.
pub(crate) fn literals(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.match_indices(['"', '\'', '`']).filter_map(|(at, quote)| {
        let rest = &text[at + 1..];
        let end = rest.find(['"', '\'', '`', '$', '{', '\n', ' '])?;
        let closes = rest[end..].starts_with(quote);
        let cut = rest[end..].starts_with(['$', '{']);
        (closes || cut).then(|| (&rest[..end], cut))
    })
}

#[test]
fn code_leaves_comments_and_tests_out() {
    let text = "a // note\n// b\n    #[cfg(test)]\n    mod tests {\n        c;\n    }\nd\n#[cfg(test)]\nmod tests;\ne";
    let file = File { path: "x.rs".into(), text: text.into() };
    assert_eq!(file.code(), [(1, "a"), (7, "d"), (10, "e")]);
}

#[test]
fn literals_are_found_whole_and_cut() {
    let found: Vec<_> = literals("t('join.a') + t(`problem.${code}`) + \"x y\"").collect();
    assert!(found.contains(&("join.a", false)) && found.contains(&("problem.", true)));
    assert!(!found.iter().any(|(literal, _)| literal.contains(' ')));
}
