use futures_util::future::join_all;

use super::*;

/// Doubles numbers; refuses 13, panics at 99. Remembers the largest batch.
struct Doubler {
    model: ModelRef,
    largest: Arc<Mutex<usize>>,
    gate: Arc<std::sync::Barrier>,
}

impl Network for Doubler {
    type Input = u32;
    type Output = u32;

    fn model(&self) -> &ModelRef {
        &self.model
    }

    fn run(&mut self, batch: &[u32]) -> Result<Vec<u32>, docent_models::Error> {
        let mut largest = self.largest.lock().expect("no other test panics while holding it");
        *largest = (*largest).max(batch.len());
        drop(largest);
        if batch == [0] {
            // Once to say that the call has begun, once to be let go.
            self.gate.wait();
            self.gate.wait();
        }
        assert!(!batch.contains(&99), "ninety-nine");
        if batch.contains(&13) {
            return Err(docent_models::Error::Input("thirteen".to_owned()));
        }
        Ok(batch.iter().map(|x| x * 2).collect())
    }
}

struct Fixture {
    handle: ModelHandle<u32, u32>,
    largest: Arc<Mutex<usize>>,
    gate: Arc<std::sync::Barrier>,
    loads: Arc<Mutex<usize>>,
}

impl Fixture {
    /// Keeps a session in a call, until the gate is passed once more.
    async fn hold(&self) -> tokio::task::JoinHandle<Result<u32, ExecutorError>> {
        let handle = self.handle.clone();
        let held = tokio::spawn(async move { handle.run(0).await });
        self.pass_gate().await;
        held
    }

    async fn pass_gate(&self) {
        let gate = Arc::clone(&self.gate);
        drop(tokio::task::spawn_blocking(move || gate.wait()).await);
    }
}

fn doubler(sessions: usize, max_batch: usize) -> Fixture {
    let largest = Arc::new(Mutex::new(0));
    let gate = Arc::new(std::sync::Barrier::new(2));
    let loads = Arc::new(Mutex::new(0));
    let (l, g, n) = (Arc::clone(&largest), Arc::clone(&gate), Arc::clone(&loads));
    let handle =
        ModelHandle::spawn("doubler", ExecutorOptions { sessions, max_batch, inbox: 64 }, move || {
            *n.lock().expect("not poisoned") += 1;
            Ok(Box::new(Doubler {
                model: ModelRef::new("doubler", "1"),
                largest: Arc::clone(&l),
                gate: Arc::clone(&g),
            }) as Box<DynNetwork<u32, u32>>)
        })
        .expect("loads");
    Fixture { handle, largest, gate, loads }
}

/// Holds the only session in a call, fills the inbox, then lets go: the inbox must leave as one batch.
#[tokio::test]
async fn what_waits_leaves_as_one_batch() {
    let f = doubler(1, 8);
    let held = f.hold().await;
    let waiting: Vec<_> = (1..=8)
        .map(|x| {
            let handle = f.handle.clone();
            tokio::spawn(async move { handle.run(x).await })
        })
        .collect();
    while f.handle.shared.inbox.as_ref().expect("open").capacity() > 64 - 8 {
        tokio::task::yield_now().await;
    }
    f.pass_gate().await;
    assert_eq!(held.await.expect("joins").expect("answers"), 0);
    let answers: Vec<u32> =
        join_all(waiting).await.into_iter().map(|a| a.expect("joins").expect("answers")).collect();
    assert_eq!(answers, [2, 4, 6, 8, 10, 12, 14, 16]);
    assert_eq!(*f.largest.lock().expect("not poisoned"), 8);
}

/// Each place in the inbox holds a group, and none is torn or mixed with what does not fit beside it.
#[tokio::test]
async fn a_group_is_answered_by_one_call() {
    let f = doubler(1, 4);
    let held = f.hold().await;
    let mut waiting = Vec::new();
    for (number, group) in
        [vec![1], vec![2, 3, 4, 5], vec![6, 7], vec![8, 9, 10, 11, 12, 14]].into_iter().enumerate()
    {
        let handle = f.handle.clone();
        waiting.push(tokio::spawn(async move { handle.run_together(None, group).await }));
        // In this order.
        while f.handle.shared.inbox.as_ref().expect("open").capacity() > 64 - 1 - number {
            tokio::task::yield_now().await;
        }
    }
    while f.handle.shared.inbox.as_ref().expect("open").capacity() > 64 - 5 {
        tokio::task::yield_now().await;
    }
    f.pass_gate().await;
    assert_eq!(held.await.expect("joins").expect("answers"), 0);
    let mut answers = Vec::new();
    for group in waiting {
        answers.extend(group.await.expect("joins").into_iter().map(|answer| answer.expect("answers")));
    }
    assert_eq!(answers, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28]);
    // The held one; 1; 2 to 5; 6 and 7; 8 to 11; 12 and 14.
    assert_eq!(f.handle.usage().batches, 6);
    assert_eq!(*f.largest.lock().expect("not poisoned"), 4);
}

#[test]
fn a_refused_input_costs_only_itself_in_its_group() {
    let f = doubler(1, 16);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
    let answers = runtime.block_on(f.handle.run_together(None, vec![1, 13, 3, 99]));
    assert_eq!(*answers[0].as_ref().expect("answered"), 2);
    assert!(matches!(&answers[1], Err(ExecutorError::Refused(_))));
    assert_eq!(*answers[2].as_ref().expect("answered"), 6);
    assert!(matches!(&answers[3], Err(ExecutorError::Crashed { .. })));
    assert!(runtime.block_on(f.handle.run_together(None, Vec::new())).is_empty());
}

#[test]
fn a_refused_input_costs_only_itself() {
    let f = doubler(1, 16);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
    let answers = runtime.block_on(join_all([1, 13, 3].map(|x| f.handle.run(x))));
    assert_eq!(*answers[0].as_ref().expect("answered"), 2);
    assert!(matches!(&answers[1], Err(ExecutorError::Refused(reason)) if reason.contains("thirteen")));
    assert_eq!(*answers[2].as_ref().expect("answered"), 6);
}

#[test]
fn a_crash_costs_only_its_input_and_loads_the_session_anew() {
    let f = doubler(1, 16);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
    let answers = runtime.block_on(join_all([1, 99, 3].map(|x| f.handle.run(x))));
    assert_eq!(*answers[0].as_ref().expect("answered"), 2);
    assert!(matches!(&answers[1], Err(ExecutorError::Crashed { message, .. }) if message == "ninety-nine"));
    assert_eq!(*answers[2].as_ref().expect("answered"), 6);
    assert!(*f.loads.lock().expect("not poisoned") >= 2);
}

#[test]
fn a_network_that_cannot_be_loaded_is_an_error() {
    let spawned = ModelHandle::<u32, u32>::spawn(
        "none",
        ExecutorOptions { sessions: 2, max_batch: 1, inbox: 1 },
        || Err(docent_models::Error::Input("no such file".to_owned())),
    );
    assert!(spawned.is_err());
}

fn limit(milliseconds: u64, hold: &Arc<Hold>) -> Limit {
    Limit { time: Duration::from_millis(milliseconds), option: "an option", hold: Arc::downgrade(hold) }
}

#[tokio::test]
async fn a_call_that_does_not_end_is_given_up_and_keeps_what_it_holds() {
    let f = doubler(1, 8);
    let hold: Arc<Hold> = Arc::new(());
    let handle = f.handle.clone();
    let limit = limit(100, &hold);
    let asked = {
        let limit = limit.clone();
        tokio::spawn(async move { handle.run_within(Some(&limit), 0).await })
    };
    f.pass_gate().await;
    let overdue = asked.await.expect("joins").expect_err("it does not end");
    assert_eq!(overdue.to_string(), "doubler@1 has not finished after 0.1 s (an option)");
    assert_eq!(Arc::strong_count(&hold), 2, "the call still has it");
    // All owners are in calls that do not end: what comes has no turn, and soon knows that at once.
    let starved = f.handle.run_within(Some(&limit), 5).await.expect_err("nobody is free");
    assert!(matches!(starved, ExecutorError::Starved { .. }), "{starved}");
    let patient = Limit { time: Duration::from_secs(3600), ..limit.clone() };
    let starved = f.handle.run_within(Some(&patient), 5).await.expect_err("nobody is free");
    assert!(matches!(starved, ExecutorError::Starved { .. }), "{starved}");
    assert_eq!(Arc::strong_count(&hold), 2, "what was not begun holds nothing");

    f.pass_gate().await;
    // The call may end a moment after the gate.
    while f.handle.usage().batches == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(f.handle.run_within(Some(&patient), 6).await.expect("is free again"), 12);
    while Arc::strong_count(&hold) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(f.handle.usage().inputs, 2, "what was given up in the inbox was not looked at");
}

/// Takes its time for each call.
struct Slow(ModelRef);

impl Network for Slow {
    type Input = u32;
    type Output = u32;

    fn model(&self) -> &ModelRef {
        &self.0
    }

    fn run(&mut self, batch: &[u32]) -> Result<Vec<u32>, docent_models::Error> {
        std::thread::sleep(Duration::from_millis(60));
        Ok(batch.to_vec())
    }
}

#[tokio::test]
async fn waiting_for_others_is_no_part_of_a_call() {
    // Some wait in the inbox and some before it, longer than a call may take.
    let options = ExecutorOptions { sessions: 1, max_batch: 1, inbox: 3 };
    let handle = ModelHandle::spawn("slow", options, || {
        Ok(Box::new(Slow(ModelRef::new("slow", "1"))) as Box<DynNetwork<u32, u32>>)
    })
    .expect("loads");
    let hold: Arc<Hold> = Arc::new(());
    let limit = limit(500, &hold);
    let answers = join_all((0..20).map(|x| handle.run_within(Some(&limit), x))).await;
    for (x, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("has its turn"), x as u32);
    }
}
