//! What may run now, as one look into the indexes tells it: the same for every backend.
//!
//! An asset names the analyzers that have pending work in one text, sorted and with commas between them. An archive has few
//! different texts, so the look steps from one to the next, and its cost does not depend on the number of assets.

use std::time::Duration;

use super::codec::lane_number;
use super::{Waiting, Wanted};
use crate::queue::Lane;

/// Assets whose work is brought up to date in one transaction: others must get their turn in between.
pub(super) const PORTION: usize = 2000;

/// The repair that makes the texts that are there already be found.
pub(super) const TEXTS: &str = "texts";

/// What a look found. What may run now or later does not name leased assets.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// When it was, in milliseconds since 1970.
    pub now: i64,
    /// Lanes, and the analyzers that may run now for some asset in them.
    pub due: Vec<(i64, String)>,
    /// Analyzers that are pending for some asset of which not all may run, and when the first of those assets has more that may.
    pub later: Vec<(String, i64)>,
    /// When the first lease ends.
    pub expires: Option<i64>,
    /// What is pending for assets that are leased, where that was asked for.
    pub leased: Vec<String>,
}

impl Look {
    /// The texts in `lane`, or in all, that concern somebody who wants `wanted`, with their lanes.
    pub fn due_for(&self, wanted: &Wanted, lane: Option<Lane>) -> (Vec<i64>, Vec<String>) {
        let lane = lane.map(lane_number);
        let fits = |of: &i64| lane.is_none_or(|lane| lane == *of);
        self.due.iter().filter(|(of, names)| fits(of) && concerns(names, wanted)).cloned().unzip()
    }

    /// The texts of assets that have more that may run now than the ledger says.
    pub fn ripe(&self) -> Vec<String> {
        self.later.iter().filter(|(_, at)| *at <= self.now).map(|(names, _)| names.clone()).collect()
    }

    /// Whether a lease has ended.
    pub fn has_expired(&self) -> bool {
        self.expires.is_some_and(|at| at <= self.now)
    }

    /// The answer to who wants `wanted`, of a look that asked for what is leased, too.
    pub fn waiting(&self, wanted: &Wanted) -> Waiting {
        let ready = !self.due_for(wanted, None).1.is_empty();
        let next = self.later.iter().filter(|(names, _)| concerns(names, wanted)).map(|(_, at)| *at).min();
        let leased = self.leased.iter().any(|names| concerns(names, wanted));
        Waiting {
            left: ready || next.is_some() || leased,
            leased,
            ready,
            overdue: self.has_expired() || !self.ripe().is_empty(),
            next_ready_in: next
                .filter(|_| !ready)
                .map(|at| Duration::from_millis(at.saturating_sub(self.now).max(0).unsigned_abs())),
        }
    }
}

/// Whether one of the analyzers that `names` lists is wanted.
pub(super) fn concerns(names: &str, wanted: &Wanted) -> bool {
    names.split(',').any(|name| wanted.keys().any(|wanted| wanted.as_str() == name))
}

#[cfg(test)]
mod tests {
    use docent_models::ModelRef;
    use docent_pipelines::AnalyzerId;

    use super::*;

    #[test]
    fn a_look_tells_each_what_concerns_it() {
        let wanted = |analyzers: &[AnalyzerId]| -> Wanted {
            analyzers.iter().map(|&analyzer| (analyzer, ModelRef::new("a", "1"))).collect()
        };
        let mut look = Look {
            now: 1000,
            due: vec![(0, "tags".to_owned()), (1, "caption,tags".to_owned()), (1, "faces".to_owned())],
            later: vec![("faces,text".to_owned(), 1500), ("embedding".to_owned(), 900)],
            expires: Some(1001),
            leased: Vec::new(),
        };
        let all = wanted(&[AnalyzerId::Tags, AnalyzerId::Caption]);
        assert_eq!(look.due_for(&all, None).1, ["tags", "caption,tags"]);
        assert_eq!(look.due_for(&all, Some(Lane::Backfill)), (vec![1], vec!["caption,tags".to_owned()]));
        assert_eq!(look.ripe(), ["embedding"]);
        assert!(!look.has_expired());
        let overdue = Waiting { overdue: true, ..Waiting::default() };
        assert_eq!(look.waiting(&all), Waiting { left: true, ready: true, ..overdue });
        let text = wanted(&[AnalyzerId::Text]);
        let wait = Some(Duration::from_millis(500));
        assert_eq!(look.waiting(&text), Waiting { left: true, next_ready_in: wait, ..overdue });
        let objects = wanted(&[AnalyzerId::Objects]);
        look.leased = vec!["tags".to_owned()];
        assert_eq!(look.waiting(&objects), overdue);
        look.later.pop();
        assert_eq!(look.waiting(&objects), Waiting::default());
        look.now = 1001;
        assert_eq!(look.waiting(&objects), overdue, "a lease has run out");
        look.leased = vec!["objects,tags".to_owned()];
        assert_eq!(look.waiting(&objects), Waiting { left: true, leased: true, ..overdue });
        // A name is no other name's beginning.
        assert!(!concerns("tags2", &all));
    }
}
