//! What takes too long costs itself only, and the places it takes are taken once.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use docent::assets::file_uri;
use docent_models::{ModelRef, Network, Picture};
use docent_pipelines::analyzers::{Analyzer, AnalyzerError, Findings, Subject};
use docent_pipelines::executor::{DynNetwork, ExecutorOptions, ModelHandle};
use futures_util::future::{BoxFuture, FutureExt};

/// A reader that is kept at one picture until it is let go. Every call of it is counted.
struct Reader {
    model: ModelRef,
    /// The width of that picture.
    stubborn: u32,
    gate: Arc<Mutex<Receiver<()>>>,
    calls: Arc<AtomicU64>,
}

impl Network for Reader {
    type Input = Arc<Picture>;
    type Output = ();

    fn model(&self) -> &ModelRef {
        &self.model
    }

    fn run(&mut self, batch: &[Arc<Picture>]) -> Result<Vec<()>, docent_models::Error> {
        if batch.iter().any(|picture| picture.width() == self.stubborn) {
            self.calls.fetch_add(1, Relaxed);
            // Until the other end is dropped.
            self.gate.lock().expect("nobody panics here").recv().expect_err("nothing is sent");
        }
        Ok(vec![(); batch.len()])
    }
}

/// Stands for the text analyzer.
struct Reading(ModelHandle<Arc<Picture>, ()>);

impl Analyzer for Reading {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Text
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            self.0.run_within(subject.limits.reading.as_ref(), Arc::clone(subject.picture)).await?;
            Ok(Findings::default())
        }
        .boxed()
    }
}

/// Stands for an analyzer that is done at once.
struct Glancing;

impl Analyzer for Glancing {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Tags
    }

    fn analyze<'a>(&'a self, _: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async { Ok(Findings::default()) }.boxed()
    }
}

struct Scene {
    /// Lets the reader go when it is dropped, before its thread is waited for.
    gate: Option<Sender<()>>,
    setting: Setting,
    calls: Arc<AtomicU64>,
    stubborn: String,
}

fn scene() -> Scene {
    let mut setting = Setting::new();
    let pictures = setting.folder.path().join("pictures");
    let (mut stubborn, mut widths) = (None, std::collections::BTreeSet::new());
    for entry in std::fs::read_dir(&pictures).expect("the folder") {
        let path = entry.expect("an entry").path();
        if let Ok((width, _)) = image::image_dimensions(&path) {
            assert!(widths.insert(width), "their widths tell them apart");
            stubborn = Some((width, file_uri(&path)));
        }
    }
    let (width, stubborn) = stubborn.expect("there are pictures");
    let (gate, wait) = channel();
    let (wait, calls) = (Arc::new(Mutex::new(wait)), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&calls);
    let load = move || {
        Ok(Box::new(Reader {
            model: ModelRef::new("reader", "1"),
            stubborn: width,
            gate: Arc::clone(&wait),
            calls: Arc::clone(&counted),
        }) as Box<DynNetwork<Arc<Picture>, ()>>)
    };
    let options = ExecutorOptions { sessions: 2, max_batch: 1, inbox: 8 };
    let reader = ModelHandle::spawn("reader", options, load).expect("loads");
    setting.wanted = Wanted::from([
        (AnalyzerId::Decode, docent_pipelines::pipeline::decoder()),
        (AnalyzerId::Tags, ModelRef::new("glance", "1")),
        (AnalyzerId::Text, ModelRef::new("reader", "1")),
    ]);
    let analyzers: Vec<Box<dyn Analyzer>> = vec![Box::new(Glancing), Box::new(Reading(reader))];
    setting.pipeline = Arc::new(Pipeline::of(analyzers, setting.wanted.clone()));
    setting.text_timeout = Duration::from_millis(300);
    Scene { setting, gate: Some(gate), calls, stubborn }
}

/// A reader that does not end fails its own analyzer, after as many attempts as are allowed, and no other; and it is not
/// given a second thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_without_end_costs_its_text_only_and_one_place() {
    let scene = scene();
    let data = tempfile::tempdir().expect("a folder");
    let found = tokio::time::timeout(PATIENCE, scene.setting.ingest(data.path(), &Trigger::new(&[]))).await;
    let found = found.expect("docent hangs");
    let late: Vec<&Value> = found.failures.iter().filter(|failure| failure["analyzer"] == "text").collect();
    assert_eq!(late.len(), 1, "{:?}", found.failures);
    assert_eq!(late[0]["uri"], scene.stubborn.as_str());
    assert_eq!((&late[0]["kind"], &late[0]["attempts"]), (&json!("transient"), &json!(3)));
    let reason = late[0]["reason"].as_str().expect("a text");
    assert!(reason.contains("not finished after 0.3 s"), "{reason}");
    let done = |analyzer| found.counts.analyzers[&analyzer].done;
    assert_eq!((done(AnalyzerId::Tags), done(AnalyzerId::Text)), (PICTURES as u64, PICTURES as u64 - 1));
    assert_eq!(scene.calls.load(Relaxed), 1, "it was still at it");
    assert_eq!(scene.setting.most_stuck.load(Relaxed), 1);
    drop(scene.gate);
}

/// What has come to its end after all is well the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_was_late_once_is_asked_again() {
    let mut scene = scene();
    let data = tempfile::tempdir().expect("a folder");
    let trigger = Trigger::new(&[]);
    let gate = scene.gate.take();
    let stuck = Arc::clone(&scene.setting.most_stuck);
    let open = async {
        // Once it is known to be late, and before it is asked again.
        while stuck.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(gate);
    };
    let ingest = tokio::time::timeout(PATIENCE, scene.setting.ingest(data.path(), &trigger));
    let (found, ()) = tokio::join!(ingest, open);
    let found = found.expect("docent hangs");
    assert!(found.failures.iter().all(|failure| failure["analyzer"] == "decode"), "{:?}", found.failures);
    assert_eq!(found.counts.analyzers[&AnalyzerId::Text].done, PICTURES as u64);
    assert_eq!(scene.calls.load(Relaxed), 2);
}
