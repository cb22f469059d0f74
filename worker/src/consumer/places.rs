//! The places of the pictures in progress. A picture keeps its place until nothing works on it, however long that takes. So there
//! are never more threads at pictures than places.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::watch;

use super::analyze::StillAtIt;
use crate::progress::Progress;

/// All places of a worker.
pub(super) struct Places {
    taken: watch::Sender<Taken>,
    count: usize,
    still_at_it: StillAtIt,
    progress: Arc<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    places: usize,
    /// Places of pictures that took too long and are still in progress.
    stuck: usize,
    /// Nothing may be beside the one that is taken.
    alone: bool,
    /// Number of those who wait to be alone; nobody else takes a place then.
    waiting: usize,
}

/// Somebody waits to be alone while this lives.
struct Waiting<'a>(&'a Places);

impl<'a> Waiting<'a> {
    fn new(places: &'a Places) -> Self {
        places.taken.send_modify(|taken| taken.waiting += 1);
        Self(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.taken.send_modify(|taken| taken.waiting -= 1);
    }
}

/// A place, which is free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    alone: AtomicBool,
    stuck: AtomicBool,
}

/// What a walk and what works for it hold: the place.
pub(super) struct Occupied {
    place: Place,
    progress: Arc<Progress>,
}

impl Places {
    pub fn new(count: usize, progress: &Arc<Progress>) -> Arc<Self> {
        let (taken, still_at_it) = (watch::Sender::default(), StillAtIt::default());
        let places = Self { taken, count, still_at_it, progress: Arc::clone(progress) };
        places.tell();
        Arc::new(places)
    }

    /// Waits for a place.
    pub async fn one(self: &Arc<Self>) -> Place {
        self.take(|taken| !taken.alone && taken.waiting == 0 && taken.places < self.count, false).await
    }

    /// Waits for a place and then, with it, for something that may never come. Gives the place up as long as somebody waits to
    /// be alone. `wait` can be dropped and begun again.
    pub async fn one_with<F: Future>(self: &Arc<Self>, wait: impl Fn() -> F) -> (Place, F::Output) {
        loop {
            let place = self.one().await;
            tokio::select! {
                biased;
                came = wait() => return (place, came),
                () = self.until(|taken| taken.waiting > 0) => {}
            }
        }
    }

    async fn until(&self, enough: impl Fn(&Taken) -> bool) {
        // An error would say that no sender is left; this is one.
        drop(self.taken.subscribe().wait_for(|taken| enough(taken)).await);
    }

    /// Waits until nobody has a place, but for those whose end nobody knows, and keeps others from taking one. The caller
    /// has none itself.
    pub async fn alone(self: &Arc<Self>) -> Place {
        let _waiting = Waiting::new(self);
        self.take(|taken| !taken.alone && taken.places == taken.stuck && taken.places < self.count, true)
            .await
    }

    async fn take(self: &Arc<Self>, is_free: impl Fn(&Taken) -> bool, alone: bool) -> Place {
        let mut seen = self.taken.subscribe();
        loop {
            // An error would say that no sender is left; this is one.
            drop(seen.wait_for(|taken| is_free(taken)).await);
            // Others may have been faster.
            let is_taken = self.taken.send_if_modified(|taken| {
                let free = is_free(taken);
                if free {
                    taken.places += 1;
                    taken.alone |= alone;
                }
                free
            });
            if is_taken {
                let places = Arc::clone(self);
                return Place { places, alone: AtomicBool::new(alone), stuck: AtomicBool::new(false) };
            }
        }
    }

    fn tell(&self) {
        let stuck = self.taken.borrow().stuck;
        self.progress.stuck.store(stuck as u64, Relaxed);
        metrics::gauge!("docent_stuck").set(stuck as f64);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (alone, stuck) = (*self.alone.get_mut(), *self.stuck.get_mut());
        self.places.taken.send_modify(|taken| {
            taken.places -= 1;
            taken.stuck -= usize::from(stuck);
            taken.alone &= !alone;
        });
        if stuck {
            tracing::warn!("a picture that took too long has come to its end");
            self.places.tell();
        }
    }
}

impl Occupied {
    pub fn new(place: Place, progress: &Arc<Progress>) -> Arc<Self> {
        progress.begun.fetch_add(1, Relaxed);
        Arc::new(Self { place, progress: Arc::clone(progress) })
    }

    /// The pictures that took too long and are still worked on.
    pub fn still_at_it(&self) -> &StillAtIt {
        &self.place.places.still_at_it
    }

    /// The picture took too long. As long as something besides the caller still works on it, its place is stuck.
    pub fn took_too_long(self: &Arc<Self>) -> bool {
        let place = &self.place;
        if Arc::strong_count(self) <= 1 || place.stuck.swap(true, Relaxed) {
            return false;
        }
        place.places.taken.send_modify(|taken| {
            taken.stuck += 1;
            taken.alone &= !place.alone.swap(false, Relaxed);
        });
        place.places.tell();
        true
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.progress.looked.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn places(count: usize) -> (Arc<Places>, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        (Places::new(count, &progress), progress)
    }

    #[test]
    fn a_place_is_free_when_nothing_works_on_its_picture_any_more() {
        let (places, progress) = places(2);
        let walk = Occupied::new(places.one().now_or_never().expect("is free"), &progress);
        let thread = Arc::clone(&walk);
        let other = places.one().now_or_never().expect("is free");
        assert!(walk.took_too_long());
        assert!(!walk.took_too_long(), "it is counted once");
        drop(walk);
        assert_eq!(progress.stuck.load(Relaxed), 1);
        assert!(places.one().now_or_never().is_none(), "its thread still has it");
        drop(thread);
        assert_eq!(progress.stuck.load(Relaxed), 0);
        assert!(places.one().now_or_never().is_some());
        drop(other);
        // What took too long and has ended meanwhile is not stuck.
        let walk = Occupied::new(places.one().now_or_never().expect("is free"), &progress);
        assert!(!walk.took_too_long());
    }

    #[test]
    fn who_has_to_be_alone_does_not_wait_for_what_may_never_end() {
        let (places, progress) = places(3);
        let stuck = Occupied::new(places.one().now_or_never().expect("is free"), &progress);
        let other = places.one().now_or_never().expect("is free");
        let thread = Arc::clone(&stuck);
        stuck.took_too_long();
        drop(stuck);
        assert!(places.alone().now_or_never().is_none(), "another one is in work");
        drop(other);
        let alone = places.alone().now_or_never().expect("only what is stuck is left");
        assert!(places.one().now_or_never().is_none() && places.alone().now_or_never().is_none());
        // Nor beside it when the other one has come to its end after all.
        drop(thread);
        assert!(places.one().now_or_never().is_none());
        // One that has to be alone and does not end keeps its place, and no more.
        let alone = Occupied::new(alone, &progress);
        let thread = Arc::clone(&alone);
        assert!(alone.took_too_long());
        drop(alone);
        let (first, second) = (places.one().now_or_never(), places.one().now_or_never());
        assert!(first.is_some() && second.is_some() && places.one().now_or_never().is_none());
        drop(thread);
        assert!(places.one().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_work_keeps_nobody_from_being_alone() {
        let (places, _progress) = places(2);
        let idle = async { places.one_with(std::future::pending::<()>).await };
        let other = async {
            // The first one has its place by now, and nothing comes.
            tokio::task::yield_now().await;
            drop(places.alone().await);
            drop(places.alone().await);
        };
        tokio::select! {
            _ = idle => unreachable!("nothing comes"),
            () = other => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(9)) => panic!("it waits for ever"),
        }
    }

    #[test]
    fn several_that_have_to_be_alone_come_one_after_the_other_and_before_everybody_else() {
        let (places, _progress) = places(2);
        let first = places.one().now_or_never().expect("is free");
        let (mut one, mut other) = (Box::pin(places.alone()), Box::pin(places.alone()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(
            one.as_mut().poll(&mut context).is_pending() && other.as_mut().poll(&mut context).is_pending()
        );
        assert!(places.one().now_or_never().is_none(), "who came later waits");
        drop(first);
        let std::task::Poll::Ready(alone) = one.as_mut().poll(&mut context) else { panic!("is free") };
        assert!(other.as_mut().poll(&mut context).is_pending() && places.one().now_or_never().is_none());
        drop(alone);
        assert!(places.one().now_or_never().is_none(), "the other one still waits");
        // It is given up while it waits: then nobody waits for it.
        drop((one, other));
        assert!(places.one().now_or_never().is_some());
    }
}
