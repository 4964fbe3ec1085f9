//! How sources are written.

use super::{none, tree};

/// Past this a file holds two ideas.
const LINES: usize = 600;

#[test]
fn no_file_holds_two_ideas() {
    let written = [".rs", ".ts", ".svelte", ".css", ".html", ".py", ".sh"];
    none(
        &format!("files of more than {LINES} lines: give each idea its own"),
        tree::files()
            .iter()
            .filter(|file| written.iter().any(|end| file.path.ends_with(end)))
            // Made by `npm run types`; nobody reads it in one piece.
            .filter(|file| !file.path.ends_with("/schema.d.ts"))
            .map(|file| (file, file.text.lines().count()))
            .filter(|(_, lines)| *lines > LINES)
            .map(|(file, lines)| format!("{}: {lines} lines", file.path)),
    );
}

#[test]
fn nothing_from_outside_can_panic() {
    let panics = [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!("];
    none(
        "shipped code does not panic: hand the error on, or keep the line with `#[expect(clippy::…, reason = …)]` above",
        tree::files().iter().filter(|file| file.is_shipped_rust()).flat_map(|file| {
            let lines: Vec<&str> = file.text.lines().collect();
            let excused = move |n: usize| {
                lines[n.saturating_sub(5)..n].iter().any(|line| line.contains("clippy::"))
                    && lines[n.saturating_sub(5)..n].iter().any(|line| line.contains("reason ="))
            };
            file.code()
                .into_iter()
                .filter(|(_, line)| panics.iter().any(|panic| line.contains(panic)))
                .filter(|(n, _)| !excused(n - 1))
                .map(|(n, line)| format!("{}:{n}: {}", file.path, line.trim()))
                .collect::<Vec<_>>()
        }),
    );
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    none(
        "tests do not sleep: `harness::wait` waits for a condition with a deadline",
        tree::files()
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
            .filter(|file| !file.path.starts_with("tests/harness/") && !file.path.starts_with("tests/tidy/"))
            // A benchmark measures for a stated time; the media peers poll their sockets within a bounded wait.
            .filter(|file| !file.path.starts_with("tests/bench/") && file.path != "appliance/tests/media_peers/mod.rs")
            .flat_map(|file| {
                let whole = file.path.starts_with("tests/") || file.path.contains("/tests");
                let from = if whole { 0 } else { file.text.find("#[cfg(test)]").unwrap_or(file.text.len()) };
                let before = file.text[..from].lines().count();
                let sleeps = ["thread::sleep", "time::sleep", " sleep(", "park_timeout"];
                file.text[from..]
                    .lines()
                    .enumerate()
                    .filter(|(_, line)| !line.trim_start().starts_with("//"))
                    .filter(|(_, line)| sleeps.iter().any(|sleep| line.contains(sleep)))
                    .map(|(n, line)| format!("{}:{}: {}", file.path, before + n + 1, line.trim()))
                    .collect::<Vec<_>>()
            }),
    );
}

#[test]
fn nothing_is_left_for_later() {
    let later = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK")];
    none(
        "what is not there is an issue, not a remark",
        tree::files()
            .iter()
            .filter(|file| [".rs", ".ts", ".svelte", ".css", ".py", ".sh"].iter().any(|end| file.path.ends_with(end)))
            .flat_map(|file| {
                file.text.lines().enumerate().filter_map(|(n, line)| {
                    let word = later.iter().find(|word| line.contains(**word))?;
                    Some(format!("{}:{}: {word}", file.path, n + 1))
                })
            }),
    );
}

#[test]
fn queues_have_a_capacity() {
    none(
        "a queue has a stated capacity and a stated drop policy",
        tree::files().iter().filter(|file| file.is_shipped_rust()).flat_map(|file| {
            file.lines_with(|line| line.contains("unbounded_channel") || line.contains("mpsc::channel()"))
        }),
    );
}
