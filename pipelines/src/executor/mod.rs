//! Runs networks on threads of their own, batching over assets.
//!
//! Each network has a bounded inbox and one or more owner threads, which may run one session or each its own. An owner that
//! becomes free takes what lies in the inbox, at most a batch, and never waits for more: a lone picture is answered at
//! once, and under load batches fill by themselves.

mod limit;

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cpu_time::ThreadTime;
use docent_models::{ModelRef, Network};
use limit::{Beginning, Starved};
pub use limit::{Hold, Limit};
use tokio::sync::{mpsc, oneshot};

/// A network of unknown architecture that answers `O` for `I`.
pub type DynNetwork<I, O> = dyn Network<Input = I, Output = O>;

type Loader<I, O> = dyn Fn(usize) -> Result<Box<DynNetwork<I, O>>, docent_models::Error> + Send + Sync;

/// How a network is run.
#[derive(Debug, Clone, Copy)]
pub struct ExecutorOptions {
    /// Owner threads, each with what the loader gives it: calls that may run at once.
    pub sessions: usize,
    /// Most inputs answered by one call of the network.
    pub max_batch: usize,
    /// Inputs, or groups of them, that may wait; a further one waits outside, which is how load flows back to the consumer.
    pub inbox: usize,
}

/// Why no answer came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExecutorError {
    /// The network refused this very input, alone.
    #[error("{0}")]
    Refused(String),
    /// The network crashed on this very input; it was loaded anew, but for a session that others run, too.
    #[error("{model} crashed: {message}")]
    Crashed {
        /// The network.
        model: ModelRef,
        /// The panic's message.
        message: String,
    },
    /// The call has begun, and has not ended within its limit.
    #[error("{model} has not finished after {} s ({option})", limit.as_secs_f64())]
    Overdue {
        /// The network.
        model: ModelRef,
        /// The limit.
        limit: Duration,
        /// The option that sets it.
        option: &'static str,
    },
    /// The network is kept busy by calls that do not end; this input was not looked at.
    #[error("{model} has taken no work for {seconds} s, because calls of it do not end ({option})")]
    Starved {
        /// The network.
        model: ModelRef,
        /// The limit of a call.
        seconds: f64,
        /// The option that sets it.
        option: &'static str,
    },
    /// The executor is shut down.
    #[error("{0} is shut down")]
    Closed(ModelRef),
}

/// A running network. Clones share its inbox; its threads end when the last clone is dropped.
pub struct ModelHandle<I, O> {
    shared: Arc<Shared<I, O>>,
}

impl<I, O> Clone for ModelHandle<I, O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<I, O> {
    model: ModelRef,
    provider: Option<String>,
    max_batch: usize,
    inbox: Option<mpsc::Sender<Group<I, O>>>,
    threads: Vec<JoinHandle<()>>,
    usage: Arc<Mutex<Usage>>,
    starved: Starved,
}

/// What a network has done since it was loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Inputs answered.
    pub inputs: u64,
    /// Calls of the network.
    pub batches: u64,
    /// Processor time of its threads inside the network. Threads that a session starts for itself are not seen.
    pub cpu: Duration,
}

struct Request<I, O> {
    input: I,
    reply: oneshot::Sender<Result<O, ExecutorError>>,
    beginning: Option<Beginning>,
}

/// Inputs that came together and are answered by one call.
type Group<I, O> = Vec<Request<I, O>>;

/// What the owners of a network share.
struct Inbox<I, O> {
    groups: mpsc::Receiver<Group<I, O>>,
    /// What did not fit into the batch before.
    next: Option<Group<I, O>>,
}

impl<I: Send + 'static, O: Send + 'static> ModelHandle<I, O> {
    /// Loads `options.sessions` sessions and starts their threads. `load` is called again when a session has crashed. Fails if
    /// any session cannot be loaded.
    pub fn spawn(
        name: &str,
        options: ExecutorOptions,
        load: impl Fn() -> Result<Box<DynNetwork<I, O>>, docent_models::Error> + Send + Sync + 'static,
    ) -> Result<Self, docent_models::Error> {
        Self::spawn_each(name, options, move |_| load())
    }

    /// The same, where `load` wants to know which of the sessions it loads: 0, 1 and so on.
    pub fn spawn_each(
        name: &str,
        options: ExecutorOptions,
        load: impl Fn(usize) -> Result<Box<DynNetwork<I, O>>, docent_models::Error> + Send + Sync + 'static,
    ) -> Result<Self, docent_models::Error> {
        let load: Arc<Loader<I, O>> = Arc::new(load);
        let (sender, receiver) = mpsc::channel(options.inbox.max(1));
        let receiver = Arc::new(Mutex::new(Inbox { groups: receiver, next: None }));
        let usage = Arc::new(Mutex::new(Usage::default()));
        let max_batch = options.max_batch.max(1);
        let mut threads = Vec::new();
        let answered = |answer: std::sync::mpsc::Receiver<_>| {
            answer.recv().unwrap_or_else(|_| {
                Err(docent_models::Error::Model {
                    model: name.to_owned(),
                    reason: "the loading thread died".to_owned(),
                })
            })
        };
        let mut others = Vec::new();
        let mut answers = Vec::new();
        for number in 0..options.sessions.max(1) {
            let (load, receiver) = (Arc::clone(&load), Arc::clone(&receiver));
            let (loaded, answer) = std::sync::mpsc::channel();
            let usage = Arc::clone(&usage);
            let owner = move || {
                let network = match load(number) {
                    Ok(network) => network,
                    Err(error) => return drop(loaded.send(Err(error))),
                };
                let provider = network.provider().map(str::to_owned);
                if loaded.send(Ok((network.model().clone(), provider))).is_ok() {
                    Owner { network, load, number, usage, max_batch }.serve(&receiver);
                }
            };
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(owner).map_err(|error| {
                docent_models::Error::Model {
                    model: name.to_owned(),
                    reason: format!("start a thread: {error}"),
                }
            })?;
            threads.push(thread);
            match number {
                // The others may run the session that it loaded.
                0 => answers.push(answered(answer)?),
                _ => others.push(answer),
            }
        }
        for answer in others {
            answers.push(answered(answer)?);
        }
        let mut model = None;
        let mut providers = BTreeSet::new();
        for (loaded, provider) in answers {
            model = Some(loaded);
            providers.extend(provider);
        }
        let providers: Vec<String> = providers.into_iter().collect();
        let provider = Some(providers.join(", ")).filter(|names| !names.is_empty());
        let Some(model) = model else {
            return Err(docent_models::Error::Model {
                model: name.to_owned(),
                reason: "it has no thread".to_owned(),
            });
        };
        let inbox = Some(sender);
        Ok(Self {
            shared: Arc::new(Shared {
                model,
                provider,
                max_batch,
                inbox,
                threads,
                usage,
                starved: Starved::default(),
            }),
        })
    }

    /// Which model answers.
    pub fn model(&self) -> &ModelRef {
        &self.shared.model
    }

    /// On what its sessions run, as ONNX Runtime names it; several where they differ, and `None` if something else runs
    /// the network. As it was when they were loaded.
    pub fn provider(&self) -> Option<&str> {
        self.shared.provider.as_deref()
    }

    /// How many calls of it may run at once.
    pub fn sessions(&self) -> usize {
        self.shared.threads.len()
    }

    /// Most inputs in one call of it.
    pub fn max_batch(&self) -> usize {
        self.shared.max_batch
    }

    /// What the network has done so far.
    pub fn usage(&self) -> Usage {
        *self.shared.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one input; waits while the inbox is full. Needs no particular async runtime.
    pub async fn run(&self, input: I) -> Result<O, ExecutorError> {
        self.run_within(None, input).await
    }

    /// The same within a limit.
    pub async fn run_within(&self, limit: Option<&Limit>, input: I) -> Result<O, ExecutorError> {
        self.run_together(limit, vec![input]).await.pop().unwrap_or_else(|| Err(self.closed()))
    }

    /// Answers several inputs, in their order, by as few calls as the size of batches allows. A group takes one place in
    /// the inbox.
    pub async fn run_together(&self, limit: Option<&Limit>, inputs: Vec<I>) -> Vec<Result<O, ExecutorError>> {
        let size = self.shared.max_batch;
        let mut inputs = inputs.into_iter().peekable();
        let (mut waiting, mut refused) = (Vec::new(), None);
        while inputs.peek().is_some() {
            let mut group = Vec::new();
            for input in inputs.by_ref().take(size) {
                let (reply, answer) = oneshot::channel();
                let (beginning, begun) = limit.map(Beginning::of).unzip();
                group.push(Request { input, reply, beginning });
                waiting.push((begun, answer));
            }
            if let Some(inbox) = &self.shared.inbox {
                let sent = async { drop(inbox.send(group).await) };
                // What cannot be sent is dropped, and its answer is that nobody is there, or takes anything.
                match limit {
                    Some(limit) => refused = self.turn(limit, sent).await.err().or(refused),
                    None => sent.await,
                }
            }
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for (begun, answer) in waiting {
            let answer = match (limit, begun) {
                (Some(limit), Some(begun)) => self.answer(limit, begun, answer).await,
                _ => answer.await.unwrap_or_else(|_| Err(self.closed())),
            };
            answers.push(match (answer, &refused) {
                (Err(ExecutorError::Closed(_)), Some(refused)) => Err(refused.clone()),
                (answer, _) => answer,
            });
        }
        answers
    }

    fn closed(&self) -> ExecutorError {
        ExecutorError::Closed(self.shared.model.clone())
    }
}

impl<I, O> Drop for Shared<I, O> {
    fn drop(&mut self) {
        // Closing the inbox ends the owners once they have answered what lies in it.
        drop(self.inbox.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(model = %self.model, "an owner thread panicked outside of its network");
            }
        }
    }
}

struct Owner<I: Send + 'static, O: Send + 'static> {
    network: Box<DynNetwork<I, O>>,
    load: Arc<Loader<I, O>>,
    number: usize,
    usage: Arc<Mutex<Usage>>,
    max_batch: usize,
}

impl<I: Send + 'static, O: Send + 'static> Owner<I, O> {
    fn serve(mut self, inbox: &Mutex<Inbox<I, O>>) {
        while let Some(batch) = next_batch(inbox, self.max_batch) {
            // Whoever gave up waiting needs no answer.
            let batch = batch.into_iter().filter(|request| !request.reply.is_closed());
            // What the pictures occupy is occupied until this is over.
            let mut held = Vec::new();
            let (inputs, replies): (Vec<I>, Vec<_>) = batch
                .map(|request| {
                    held.extend(request.beginning.and_then(Beginning::begin));
                    (request.input, request.reply)
                })
                .unzip();
            if inputs.is_empty() {
                continue;
            }
            match self.run(&inputs) {
                Ok(outputs) => {
                    for (reply, output) in replies.into_iter().zip(outputs) {
                        drop(reply.send(Ok(output)));
                    }
                }
                // One bad input must not fail its neighbors: ask again one by one.
                Err(_) if inputs.len() > 1 => {
                    for (input, reply) in inputs.chunks(1).zip(replies) {
                        drop(reply.send(self.run(input).and_then(only)));
                    }
                }
                Err(error) => {
                    for reply in replies {
                        drop(reply.send(Err(error.clone())));
                    }
                }
            }
        }
    }

    fn run(&mut self, inputs: &[I]) -> Result<Vec<O>, ExecutorError> {
        let start = ThreadTime::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.network.run(inputs)));
        {
            let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
            usage.inputs += inputs.len() as u64;
            usage.batches += 1;
            usage.cpu += start.elapsed();
        }
        match outcome {
            Ok(Ok(outputs)) if outputs.len() == inputs.len() => Ok(outputs),
            Ok(Ok(outputs)) => Err(ExecutorError::Refused(format!(
                "{} gave {} answers for {} inputs",
                self.network.model(),
                outputs.len(),
                inputs.len()
            ))),
            Ok(Err(error)) => Err(ExecutorError::Refused(error.to_string())),
            Err(panic) => {
                let crashed = ExecutorError::Crashed {
                    model: self.network.model().clone(),
                    message: panic_message(panic.as_ref()),
                };
                match (self.load)(self.number) {
                    Ok(network) => self.network = network,
                    Err(error) => {
                        tracing::error!(%error, "cannot reload a crashed session; keeping the old one")
                    }
                }
                Err(crashed)
            }
        }
    }
}

fn next_batch<I, O>(inbox: &Mutex<Inbox<I, O>>, max: usize) -> Option<Group<I, O>> {
    // Owners of the same network queue up here while they are idle.
    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = match inbox.next.take() {
        Some(group) => group,
        None => inbox.groups.blocking_recv()?,
    };
    while batch.len() < max {
        match inbox.groups.try_recv() {
            Ok(group) if batch.len() + group.len() <= max => batch.extend(group),
            Ok(group) => {
                inbox.next = Some(group);
                break;
            }
            Err(_) => break,
        }
    }
    Some(batch)
}

fn only<O>(outputs: Vec<O>) -> Result<O, ExecutorError> {
    outputs.into_iter().next().ok_or_else(|| ExecutorError::Refused("no answer for one input".to_owned()))
}

/// The message of a caught panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

#[cfg(test)]
mod tests;
