//! What becomes of a lease when somebody begins a run: the same for every backend.

use super::Begun;

/// A lease as the ledger holds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lease {
    /// Who holds it.
    pub owner: Option<String>,
    /// Until when, in milliseconds since 1970.
    pub until: Option<i64>,
    /// A run under it has begun …
    pub run_began: bool,
    /// … with nothing beside it.
    pub run_alone: bool,
    /// Runs that were lost while they were alone.
    pub lost_alone: u32,
    /// A run was lost.
    pub suspect: bool,
    /// Whether the owner of the run is silent: `None` if it never said that it lives.
    pub gone: Option<bool>,
}

/// What `begin_run` does with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody is at it.
    Free,
    /// Somebody else is; leave it to them.
    Elsewhere,
    /// Somebody else was, and their run is lost. Counts the runs lost alone, this one included.
    Lost {
        /// How often by now.
        alone: u32,
    },
}

impl Lease {
    /// How `owner`, whose job comes `alone` or not, finds it at the time `now`.
    pub fn standing(&self, owner: &str, alone: bool, now: i64) -> Standing {
        if !self.run_began || self.owner.as_deref() == Some(owner) {
            return Standing::Free;
        }
        match self.gone {
            Some(true) => self.lost(),
            // An older docent: the job says that its receiver is gone.
            None if alone => self.lost(),
            _ if self.until.is_some_and(|until| until > now) => Standing::Elsewhere,
            _ => Standing::Free,
        }
    }

    fn lost(&self) -> Standing {
        Standing::Lost { alone: self.lost_alone.saturating_add(u32::from(self.run_alone)) }
    }

    /// Whether a run has to be alone that finds the lease like this.
    pub fn must_be_alone(&self, standing: &Standing) -> bool {
        self.suspect || matches!(standing, Standing::Lost { .. })
    }
}

impl Standing {
    /// The answer that ends `begin_run` before the work rows are looked at.
    pub fn answer(&self, max_lost: u32) -> Option<Begun> {
        match *self {
            Self::Elsewhere => Some(Begun::Elsewhere),
            Self::Lost { alone } if alone > max_lost => Some(Begun::GivenUp { lost: alone }),
            _ => None,
        }
    }
}

/// Why an asset was given up.
pub(super) fn given_up(lost: i64) -> String {
    format!("docent was stopped {lost} times while it analyzed this picture alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_lost_only_if_its_receiver_is_gone() {
        let held =
            Lease { owner: Some("a".to_owned()), until: Some(10), run_began: true, ..Lease::default() };
        assert_eq!(held.standing("a", true, 5), Standing::Free);
        assert_eq!(held.standing("b", false, 5), Standing::Elsewhere);
        assert_eq!(held.standing("b", false, 10), Standing::Free);
        assert_eq!(held.standing("b", true, 5), Standing::Lost { alone: 0 });
        let lives = Lease { gone: Some(false), ..held.clone() };
        assert_eq!(lives.standing("b", true, 5), Standing::Elsewhere, "it says itself that it lives");
        assert!(!lives.must_be_alone(&Standing::Elsewhere));
        let gone = Lease { gone: Some(true), ..held.clone() };
        for alone in [false, true] {
            let standing = gone.standing("b", alone, 5);
            assert_eq!(standing, Standing::Lost { alone: 0 });
            assert!(gone.must_be_alone(&standing));
        }
        let only_leased = Lease { run_began: false, ..gone };
        assert_eq!(only_leased.standing("b", true, 5), Standing::Free, "nothing had begun");
        assert!(!only_leased.must_be_alone(&Standing::Free));
        let alone = Lease { run_alone: true, lost_alone: 4, ..held };
        assert_eq!(alone.standing("b", true, 5).answer(4), Some(Begun::GivenUp { lost: 5 }));
        assert_eq!(alone.standing("b", true, 5).answer(5), None);
    }
}
