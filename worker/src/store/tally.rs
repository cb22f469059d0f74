//! Counts that are kept, as people see them.

use docent_pipelines::{Kind, Status};

use super::codec::analyzer;
use super::{Counts, StoreError, Wanted, WorkCounts};

/// A kept count: of what, three names that tell it apart, and how many.
pub(super) type Kept = (String, String, String, String, i64);

/// All counts, with a row for each wanted analyzer.
pub(super) fn counts(kept: Vec<Kept>, wanted: &Wanted) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for (what, a, b, _, n) in &kept {
        let n = n.unsigned_abs();
        match what.as_str() {
            "asset" => counts.assets = n,
            "path" => counts.paths = n,
            "suggestion" => {
                *counts.suggestions.entry(a.clone()).or_default() += n;
                if a == Status::Pending.as_str() && b == Kind::Proposal.as_str() {
                    counts.proposals += n;
                }
            }
            "vector" => *counts.vectors.entry(a.clone()).or_default() += n,
            _ => {}
        }
    }
    let missing = counts.assets;
    for &analyzer in wanted.keys() {
        counts.analyzers.insert(analyzer, WorkCounts { missing, ..WorkCounts::default() });
    }
    for (_, name, state, model, rows) in kept.iter().filter(|(what, ..)| what == "work") {
        let analyzer = analyzer(name)?;
        let rows = rows.unsigned_abs();
        let entry = counts
            .analyzers
            .entry(analyzer)
            .or_insert_with(|| WorkCounts { missing, ..WorkCounts::default() });
        entry.missing = entry.missing.saturating_sub(rows);
        let stale = wanted.get(&analyzer).is_some_and(|wanted| wanted.to_string() != *model);
        match state.as_str() {
            "pending" => entry.pending += rows,
            "done" if stale => entry.stale += rows,
            "done" => entry.done += rows,
            "failed" => entry.failed += rows,
            _ => entry.blocked += rows,
        }
    }
    Ok(counts)
}
