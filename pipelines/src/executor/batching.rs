//! How many inputs one call of a network gets.
//!
//! A processor is mostly kept busy by a single input, and larger batches only leave its caches; a GPU wants many. What is best depends
//! on the network, on what runs it and on the library's version, so it is measured when a network is loaded for the first time
//! on a machine, and remembered.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use docent_models::ModelRef;
use serde::{Deserialize, Serialize};

use super::DynNetwork;

/// How large batches may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Batching {
    /// Most inputs in a call.
    pub size: usize,
    /// What was measured, now or earlier; nothing if the size was given.
    pub trials: Vec<Trial>,
}

/// A size that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Inputs in a call.
    pub size: usize,
    /// Seconds for each input: of the thread's processor time, or by the clock where something else than the processor works.
    pub seconds: f64,
}

/// What decides on the best size, beside the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuningKey {
    /// The network.
    pub model: ModelRef,
    /// What runs it.
    pub provider: Option<String>,
    /// The largest size that may be tried.
    pub most: usize,
}

/// Remembers what was measured on this machine.
pub trait TuningMemory: fmt::Debug + Send + Sync {
    /// The trials of an earlier process, if there are any.
    fn recall(&self, key: &TuningKey) -> Option<Vec<Trial>>;
    /// Keeps them for later ones. What cannot be kept is measured again.
    fn keep(&self, key: &TuningKey, trials: &[Trial]);
}

/// Makes inputs to measure with.
pub type Sampler<I> = Box<dyn Fn(Option<I>) -> Option<I> + Send + Sync>;

/// How a size is found for a network with inputs of type `I`.
pub struct Tuning<I> {
    /// The largest size that may be tried.
    pub most: usize,
    /// Whether to measure what nobody remembers; it takes some calls of the network.
    pub measure: bool,
    /// Makes an input of the usual form; it gets the network's own, if that has one.
    pub sample: Sampler<I>,
    /// Where results are kept.
    pub memory: Arc<dyn TuningMemory>,
}

/// Twice the batch must spare this share of the time on a GPU, whose memory is its own and mostly idle.
const LEAST_GAIN: f64 = 0.05;
/// On a processor every session keeps the memory of its largest batch, and what comes meanwhile waits for all of it.
const LEAST_GAIN_ON_PROCESSOR: f64 = 0.12;
/// Calls of each size that are measured, after one that is not: the first one takes memory and, on a GPU, compiles.
const CALLS: usize = 5;

/// Networks are loaded side by side, and measured one after the other.
static MEASURING: Mutex<()> = Mutex::new(());

impl<I: Send + 'static> Tuning<I> {
    /// The size for a network, `given` where nothing is known and nothing can be measured; and whether the network has to be
    /// loaded anew, because it crashed meanwhile or keeps the memory of larger batches than it will get.
    pub(super) fn choose<O: Send + 'static>(
        &self,
        network: &mut DynNetwork<I, O>,
        given: usize,
    ) -> (Batching, bool) {
        let provider = network.provider().map(str::to_owned);
        let key = TuningKey { model: network.model().clone(), provider, most: self.most };
        if let Some(trials) = self.memory.recall(&key) {
            let size = best(&trials, least_gain(network.provider())).unwrap_or(given);
            return (Batching { size, trials }, false);
        }
        if !self.measure {
            return (Batching { size: given, trials: Vec::new() }, false);
        }
        let guard = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
        let (trials, crashed) = trials(network, self.most, &self.sample);
        drop(guard);
        let size = best(&trials, least_gain(network.provider())).unwrap_or(given);
        if !trials.is_empty() {
            tracing::info!(model = %key.model, size, ?trials, "measured how large batches should be");
            self.memory.keep(&key, &trials);
        }
        let is_swollen = trials.iter().any(|trial| trial.size > 1);
        (Batching { size, trials }, crashed || is_swollen)
    }
}

fn on_processor(provider: Option<&str>) -> bool {
    provider.is_none_or(|provider| provider == "CPUExecutionProvider")
}

fn least_gain(provider: Option<&str>) -> f64 {
    if on_processor(provider) { LEAST_GAIN_ON_PROCESSOR } else { LEAST_GAIN }
}

/// The first size after which twice as many spare no more than `least_gain`.
fn best(trials: &[Trial], least_gain: f64) -> Option<usize> {
    let pays = |pair: &&[Trial]| pair[1].seconds < pair[0].seconds * (1.0 - least_gain);
    let steps = trials.windows(2).take_while(pays).count();
    trials.get(steps).map(|trial| trial.size)
}

/// Tries 1, 2, 4 and so on, as long as each is better than the one before, and says whether the network crashed. Each is
/// measured in turn with the one before, so that both see the same of what else the machine does; what is told of it is in
/// proportion to that.
fn trials<I: Send + 'static, O: Send + 'static>(
    network: &mut DynNetwork<I, O>,
    most: usize,
    sample: &Sampler<I>,
) -> (Vec<Trial>, bool) {
    let mut crashed = false;
    let least_gain = least_gain(network.provider());
    let mut call = |size: usize| -> Option<f64> {
        let batch: Vec<I> = (0..size).map(|_| sample(network.sample())).collect::<Option<_>>()?;
        let on_processor = on_processor(network.provider());
        let (start, start_of_thread) = (Instant::now(), ThreadTime::now());
        // Too large a batch for a GPU's memory is no reason to end.
        let answered = catch_unwind(AssertUnwindSafe(|| network.run(&batch)));
        crashed |= answered.is_err();
        let answered = answered.ok()?.ok()?;
        let time: Duration = if on_processor { start_of_thread.elapsed() } else { start.elapsed() };
        (answered.len() == size).then(|| time.as_secs_f64() / size as f64)
    };
    let mut trials: Vec<Trial> = Vec::new();
    let mut size = 1;
    while size <= most.max(1) {
        let before = trials.last().copied();
        let mut measured = (Vec::new(), Vec::new());
        if call(size).is_none() {
            break;
        }
        for _ in 0..CALLS {
            measured.0.extend(before.and_then(|trial| call(trial.size)));
            measured.1.extend(call(size));
        }
        let Some(seconds) = median(measured.1) else { break };
        let ratio = before.zip(median(measured.0)).map(|(before, now)| before.seconds / now);
        trials.push(Trial { size, seconds: seconds * ratio.unwrap_or(1.0) });
        let enough = |before: Trial| before.seconds * (1.0 - least_gain);
        if before.is_some_and(|before| seconds * ratio.unwrap_or(1.0) >= enough(before)) {
            break;
        }
        size *= 2;
    }
    (trials, crashed)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use docent_models::Network;

    use super::*;

    /// Takes `fixed + size * each` milliseconds of processor time for a batch, and no more than `bears` inputs.
    struct Slow {
        model: ModelRef,
        fixed: u64,
        each: u64,
        bears: usize,
        calls: Arc<Mutex<Vec<usize>>>,
    }

    impl Network for Slow {
        type Input = ();
        type Output = ();

        fn model(&self) -> &ModelRef {
            &self.model
        }

        fn provider(&self) -> Option<&str> {
            Some("CPUExecutionProvider")
        }

        fn run(&mut self, batch: &[()]) -> Result<Vec<()>, docent_models::Error> {
            self.calls.lock().expect("is not poisoned").push(batch.len());
            assert!(batch.len() <= self.bears, "out of memory");
            let start = ThreadTime::now();
            let time = Duration::from_millis(self.fixed + self.each * batch.len() as u64);
            while start.elapsed() < time {
                std::hint::spin_loop();
            }
            Ok(batch.to_vec())
        }
    }

    #[derive(Debug, Default)]
    struct Memory(Mutex<Vec<(TuningKey, Vec<Trial>)>>);

    impl TuningMemory for Memory {
        fn recall(&self, key: &TuningKey) -> Option<Vec<Trial>> {
            let known = self.0.lock().expect("is not poisoned");
            known.iter().find(|(known, _)| known == key).map(|(_, trials)| trials.clone())
        }

        fn keep(&self, key: &TuningKey, trials: &[Trial]) {
            self.0.lock().expect("is not poisoned").push((key.clone(), trials.to_vec()));
        }
    }

    fn tuning(measure: bool, memory: &Arc<Memory>) -> Tuning<()> {
        let memory = Arc::clone(memory) as Arc<dyn TuningMemory>;
        Tuning { most: 16, measure, sample: Box::new(|_| Some(())), memory }
    }

    fn slow(fixed: u64, each: u64, bears: usize) -> Slow {
        Slow { model: ModelRef::new("slow", "1"), fixed, each, bears, calls: Arc::default() }
    }

    #[test]
    fn sizes_grow_as_long_as_they_pay() {
        let memory = Arc::new(Memory::default());
        // 10, 5.5, 3.25, 2.125 and 1.56 ms for each input.
        let found = tuning(true, &memory).choose(&mut slow(9, 1, 99), 5).0;
        assert_eq!(found.size, 16, "{found:?}");
        // 2 ms for each, whatever the size.
        let found = tuning(true, &Arc::new(Memory::default())).choose(&mut slow(0, 2, 99), 5).0;
        assert_eq!((found.size, found.trials.len()), (1, 2), "{found:?}");
        // What does not fit is not chosen, and not an end.
        let (found, crashed) = tuning(true, &Arc::new(Memory::default())).choose(&mut slow(3, 1, 5), 5);
        assert_eq!((found.size, crashed), (4, true), "{found:?}");
    }

    #[test]
    fn what_was_measured_is_not_measured_again() {
        let memory = Arc::new(Memory::default());
        let mut network = slow(3, 1, 99);
        assert_eq!(tuning(false, &memory).choose(&mut network, 5).0.size, 5);
        assert!(network.calls.lock().expect("is not poisoned").is_empty());
        let first = tuning(true, &memory).choose(&mut network, 5);
        assert!(first.1, "the memory of its larger batches is given back");
        let calls = network.calls.lock().expect("is not poisoned").len();
        assert!(calls > 0);
        for measure in [true, false] {
            assert_eq!(tuning(measure, &memory).choose(&mut network, 5), (first.0.clone(), false));
        }
        assert_eq!(network.calls.lock().expect("is not poisoned").len(), calls);
    }

    #[test]
    fn a_small_gain_is_not_worth_a_larger_batch() {
        let trial = |size, seconds| Trial { size, seconds };
        assert_eq!(best(&[trial(1, 1.0), trial(2, 0.97)], 0.05), Some(1));
        assert_eq!(best(&[trial(1, 1.0), trial(2, 0.9), trial(4, 0.8), trial(8, 0.75)], 0.05), Some(8));
        // As if it had been measured with the greater gain from the beginning.
        assert_eq!(best(&[trial(1, 1.0), trial(2, 0.93), trial(4, 0.8)], 0.12), Some(1));
        assert_eq!(best(&[trial(1, 1.0), trial(2, 0.8), trial(4, 0.7), trial(8, 0.63)], 0.12), Some(4));
        assert_eq!(best(&[], 0.05), None);
    }
}
