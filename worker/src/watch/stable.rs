//! Which files are complete: those that nobody has changed for a while. Knows no clock and no files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::FileStamp;

/// So many places are kept at most. With the longest paths that is 16 MiB.
pub const MOST: usize = 4096;
/// A file that is open for writing, or empty, may rest so many times longer: a copy may stall.
pub const PATIENCE: u32 = 12;

/// What somebody did to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Wrote to it, and has not closed it.
    Written,
    /// Closed it after writing.
    Closed,
    /// Something else.
    Other,
}

/// Files that are new or changed, and places that were left, until nothing happens to them any more.
#[derive(Debug)]
pub struct Settling {
    quiet: Duration,
    places: HashMap<PathBuf, Place>,
}

#[derive(Debug)]
struct Place {
    /// What lay there when it was last looked at; `None`: nothing.
    seen: Option<FileStamp>,
    is_open: bool,
    since: Instant,
    first: Instant,
}

impl Place {
    fn settles_at(&self, quiet: Duration) -> Instant {
        let is_unfinished = self.is_open || self.seen.is_some_and(|stamp| stamp.bytes == 0);
        self.since + if is_unfinished { quiet * PATIENCE } else { quiet }
    }
}

impl Settling {
    /// Places rest for `quiet`.
    pub fn new(quiet: Duration) -> Self {
        Self { quiet, places: HashMap::new() }
    }

    /// How many more places there is room for.
    pub fn room(&self) -> usize {
        MOST.saturating_sub(self.places.len())
    }

    /// A place was looked at. If something else lies there than before, its time begins again. `touch` is the last thing that
    /// is known to have happened to it.
    pub fn see(&mut self, path: PathBuf, seen: Option<FileStamp>, touch: Touch, now: Instant) {
        let place = self.places.entry(path).or_insert(Place { seen, is_open: false, since: now, first: now });
        if place.seen != seen {
            (place.seen, place.since) = (seen, now);
        }
        place.note(touch);
    }

    /// Somebody did something to a place. Its time begins again; false: nothing is known of it.
    pub fn touch(&mut self, path: &Path, touch: Touch, now: Instant) -> bool {
        let Some(place) = self.places.get_mut(path) else { return false };
        place.since = now;
        place.note(touch);
        true
    }

    /// Takes out files that have settled, `most` at most, in no order.
    pub fn complete(&mut self, now: Instant, most: usize) -> Vec<(PathBuf, FileStamp)> {
        let settled = self.take(now, most, |place| place.seen.is_some());
        settled.into_iter().filter_map(|(path, place)| Some((path, place.seen?))).collect()
    }

    /// Takes out places that have been empty for long enough, `most` at most, in no order.
    pub fn abandoned(&mut self, now: Instant, most: usize) -> Vec<PathBuf> {
        self.take(now, most, |place| place.seen.is_none()).into_iter().map(|(path, _)| path).collect()
    }

    /// Forgets files that have not come to rest in a long time, so that others get room. Answers whether there were any.
    pub fn forget_restless(&mut self, now: Instant) -> bool {
        let before = self.places.len();
        let longest = 2 * PATIENCE * self.quiet;
        self.places.retain(|_, place| place.first + longest > now);
        self.places.len() < before
    }

    /// When the next place settles, if nothing happens to it.
    pub fn next(&self) -> Option<Instant> {
        self.places.values().map(|place| place.settles_at(self.quiet)).min()
    }

    fn take(
        &mut self,
        now: Instant,
        most: usize,
        mut wanted: impl FnMut(&Place) -> bool,
    ) -> Vec<(PathBuf, Place)> {
        let quiet = self.quiet;
        let mut is_settled = |place: &Place| wanted(place) && place.settles_at(quiet) <= now;
        self.places.extract_if(|_, place| is_settled(place)).take(most).collect()
    }
}

impl Place {
    fn note(&mut self, touch: Touch) {
        match touch {
            Touch::Written => self.is_open = true,
            Touch::Closed => self.is_open = false,
            Touch::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(5);

    /// A clock that a test moves.
    struct Clock(Instant);

    impl Clock {
        fn after(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    fn stamp(bytes: u64, modified_ns: i64) -> Option<FileStamp> {
        Some(FileStamp { bytes, modified_ns })
    }

    fn names(files: Vec<(PathBuf, FileStamp)>) -> Vec<String> {
        let mut names: Vec<String> =
            files.into_iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_complete_once_it_has_rested() {
        let clock = Clock(Instant::now());
        let mut settling = Settling::new(QUIET);
        settling.see("a".into(), stamp(1, 1), Touch::Other, clock.after(0));
        assert_eq!(settling.next(), Some(clock.after(5)));
        assert!(settling.complete(clock.after(4), 10).is_empty());
        // Looked at again: nothing changed, so its time goes on; then it grows, and gets another time.
        settling.see("a".into(), stamp(1, 1), Touch::Other, clock.after(4));
        settling.see("b".into(), stamp(9, 9), Touch::Other, clock.after(4));
        settling.see("b".into(), stamp(9, 10), Touch::Other, clock.after(6));
        assert_eq!(names(settling.complete(clock.after(5), 10)), ["a"]);
        assert!(settling.complete(clock.after(10), 10).is_empty());
        assert_eq!(settling.complete(clock.after(11), 10), [("b".into(), stamp(9, 10).expect("a stamp"))]);
        assert!(settling.room() == MOST && settling.next().is_none());
    }

    #[test]
    fn a_slow_copy_is_not_taken_half() {
        let clock = Clock(Instant::now());
        let mut settling = Settling::new(QUIET);
        settling.see("a".into(), stamp(1, 1), Touch::Written, clock.after(0));
        // A piece every four seconds, then a stall of half a minute.
        for seconds in [4, 8, 12] {
            assert!(settling.touch(Path::new("a"), Touch::Written, clock.after(seconds)));
        }
        assert!(settling.complete(clock.after(42), 10).is_empty());
        assert!(settling.touch(Path::new("a"), Touch::Closed, clock.after(43)));
        assert!(settling.complete(clock.after(47), 10).is_empty());
        assert_eq!(names(settling.complete(clock.after(48), 10)), ["a"]);
        // Who keeps a file open for ever does not keep it out for ever.
        settling.see("log".into(), stamp(1, 1), Touch::Written, clock.after(50));
        assert!(settling.complete(clock.after(50 + 59), 10).is_empty());
        assert_eq!(names(settling.complete(clock.after(50 + 60), 10)), ["log"]);
    }

    #[test]
    fn an_empty_file_waits_for_its_content() {
        let clock = Clock(Instant::now());
        let mut settling = Settling::new(QUIET);
        settling.see("a".into(), stamp(0, 1), Touch::Closed, clock.after(0));
        assert!(settling.complete(clock.after(30), 10).is_empty());
        settling.see("a".into(), stamp(7, 2), Touch::Closed, clock.after(30));
        assert_eq!(names(settling.complete(clock.after(35), 10)), ["a"]);
    }

    #[test]
    fn what_was_left_and_what_came_are_told_apart() {
        let clock = Clock(Instant::now());
        let mut settling = Settling::new(QUIET);
        settling.see("old".into(), None, Touch::Other, clock.after(0));
        settling.see("new".into(), stamp(1, 1), Touch::Other, clock.after(0));
        // Removed and written again, as some programs save.
        settling.see("saved".into(), None, Touch::Other, clock.after(0));
        settling.see("saved".into(), stamp(2, 2), Touch::Closed, clock.after(1));
        assert_eq!(settling.abandoned(clock.after(5), 10), [PathBuf::from("old")]);
        assert_eq!(names(settling.complete(clock.after(6), 10)), ["new", "saved"]);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let clock = Clock(Instant::now());
        let mut settling = Settling::new(QUIET);
        for i in 0..MOST {
            settling.see(i.to_string().into(), stamp(1, 1), Touch::Other, clock.after(0));
        }
        assert_eq!(settling.room(), 0);
        assert!(!settling.forget_restless(clock.after(5)), "all may still settle");
        assert_eq!(settling.complete(clock.after(5), 64).len(), 64);
        assert_eq!(settling.room(), 64);
        // Somebody writes to one of them for ever.
        for seconds in 0..30 {
            settling.touch(Path::new("7"), Touch::Written, clock.after(4 * seconds));
        }
        settling.see("late".into(), stamp(1, 1), Touch::Other, clock.after(119));
        assert!(settling.forget_restless(clock.after(120)));
        assert_eq!(settling.room(), MOST - 1);
    }
}
