//! What the benchmarks found: a table for people, `target/bench.json` for machines.

use std::{fmt::Write, fs, path::Path};

use anyhow::Result;
use serde::Serialize;

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Name of the measure, `family.measure`.
    pub(crate) key: &'static str,
    /// Unit of `ours`, `peer_value` and, where there is no peer, of `goal`.
    pub(crate) unit: &'static str,
    /// Median of the rounds; none when it could not be measured.
    pub(crate) ours: Option<f64>,
    /// Whom it is compared with.
    pub(crate) peer: Option<&'static str>,
    /// The peer's median in the same run.
    pub(crate) peer_value: Option<f64>,
    /// `ours / peer_value`.
    pub(crate) ratio: Option<f64>,
    /// Highest good value: of the ratio where there is a peer, else of `ours`.
    pub(crate) goal: f64,
    /// Whether the goal is reached.
    pub(crate) met: bool,
    /// Number of rounds, spread, and the reason when something is missing.
    pub(crate) note: String,
}

impl Row {
    /// A measure against a peer; `goal` is the highest good ratio.
    pub(crate) fn against(
        (key, unit): (&'static str, &'static str),
        ours: &[f64],
        (peer, theirs): (&'static str, &[f64]),
        goal: f64,
        note: &str,
    ) -> Self {
        let (mine, other) = (median(ours), median(theirs));
        let ratio = mine.zip(other).map(|(mine, other)| mine / other);
        let note =
            format!("ours {}; peer {}{}{note}", spread(ours), spread(theirs), if note.is_empty() { "" } else { "; " });
        let met = ratio.is_some_and(|ratio| ratio <= goal);
        Self { key, unit, ours: mine, peer: Some(peer), peer_value: other, ratio, goal, met, note }
    }

    /// A measure on its own; `goal` is the highest good value.
    pub(crate) fn alone((key, unit): (&'static str, &'static str), ours: &[f64], goal: f64, note: &str) -> Self {
        let mine = median(ours);
        let note = format!("{}{}{note}", spread(ours), if note.is_empty() { "" } else { "; " });
        let met = mine.is_some_and(|mine| mine <= goal);
        Self { key, unit, ours: mine, peer: None, peer_value: None, ratio: None, goal, met, note }
    }
}

/// What the rounds gave, and why the others gave nothing.
pub(crate) fn outcomes(rounds: impl Iterator<Item = Result<f64>>) -> (Vec<f64>, Vec<String>) {
    let (mut values, mut failures) = (Vec::new(), Vec::new());
    for round in rounds {
        match round {
            Ok(value) => values.push(value),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    (values, failures)
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 0.5)
}

/// A percentile (0 to 1) with linear steps between values.
pub(crate) fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (*sorted.get(at.floor() as usize)?, *sorted.get(at.ceil() as usize)?);
    Some(low + (high - low) * at.fract())
}

fn spread(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() {
        "not measured".into()
    } else {
        format!("n={} {}…{}", values.len(), short(low), short(high))
    }
}

fn short(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

/// The table.
pub(crate) fn table(rows: &[Row]) -> String {
    let show = |value: Option<f64>| value.map_or("–".into(), short);
    let mut out = format!(
        "{:<24} {:>6} {:>9} {:>9} {:>6} {:>7}  {:<5} {}\n",
        "measure", "unit", "ours", "peer", "ratio", "goal", "met", "note"
    );
    for row in rows {
        let met = if row.met { "yes" } else { "NO" };
        let goal = if row.peer.is_some() { format!("×{}", row.goal) } else { short(row.goal) };
        let peer = row.peer.map_or(String::new(), |peer| format!("peer: {peer}; "));
        let _ = writeln!(
            out,
            "{:<24} {:>6} {:>9} {:>9} {:>6} {:>7}  {:<5} {peer}{}",
            row.key,
            row.unit,
            show(row.ours),
            show(row.peer_value),
            show(row.ratio),
            goal,
            met,
            row.note
        );
    }
    out
}

/// Writes `bench.json`; rows of families that were not run this time stay as they were.
pub(crate) fn save(path: &Path, rows: &[Row]) -> Result<()> {
    let old: Vec<serde_json::Value> =
        fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let stays = |row: &serde_json::Value| rows.iter().all(|new| row["key"] != new.key);
    let mut all: Vec<serde_json::Value> = old.into_iter().filter(stays).collect();
    for row in rows {
        all.push(serde_json::to_value(row)?);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, serde_json::to_string_pretty(&all)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_between_the_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(percentile(&[0.0, 100.0], 0.95), Some(95.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_goal_without_a_measure_is_missed() {
        let row = Row::against(("a.b", "µs"), &[1.0], ("other", &[]), 0.5, "other did not start");
        assert!(!row.met);
        assert!(row.note.ends_with("other did not start"));
        assert!(!Row::alone(("a.c", "s"), &[], 1.0, "").met);
    }
}
