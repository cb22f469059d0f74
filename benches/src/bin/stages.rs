//! What every stage of the walk costs by itself.
//!
//!     cargo run --release -p docent-benches --bin stages -- FOLDER
//!
//! Decoding and preparation by kind of file (what its name says after the number, as `benches/corpus` names them); every
//! network at several batch sizes, thread counts and sessions; what the executor adds to a network; writing runs to the
//! ledger and vectors to the index. ONNX Runtime comes from `ORT_DYLIB_PATH`.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::{ProcessTime, ThreadTime};
use docent::queue::Lane;
use docent::store::{
    FileStamp, Finished, FoundFile, LeaseRequest, Ledger, Outcome, OutcomeState, PictureFacts, Run,
    SqliteStore, Wanted,
};
use docent::vectors::{QdrantIndex, QdrantOptions, VectorIndex};
use docent_models::captioning::{self, CaptionRequest, Strategy};
use docent_models::ocr::{self, OcrOptions, Page, look_for_text};
use docent_models::session::{SessionOptions, init_runtime};
use docent_models::{
    BoundingBox, Error, InputSpec, ModelRef, Network, Pack, Picture, Task, embedding, emotion, faces,
    objects, tagging,
};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::executor::{ExecutorOptions, ModelHandle};
use docent_pipelines::image::{DecodeLimits, Image};
use docent_pipelines::{Analysis, AnalyzerId, AssetId, VectorRecord, VectorSpace};
use docent_tests::qdrant::QdrantServer;
use tokio::runtime::Runtime;

/// Every setting runs so long.
const WHILE: Duration = Duration::from_millis(600);
const BATCHES: [usize; 4] = [1, 2, 4, 8];

fn main() -> anyhow::Result<()> {
    let folder = docent_benches::folder_argument("pictures")?;
    init_runtime(None)?;
    let pictures = decoding(&folder)?;
    networks(&pictures)?;
    let runtime = Runtime::new()?;
    executor(&runtime)?;
    runtime.block_on(ledger())?;
    runtime.block_on(index())
}

/// The files below `folder`, by the kind in their name.
fn kinds(folder: &Path, into: &mut BTreeMap<String, Vec<PathBuf>>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            kinds(&path, into)?;
        } else if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) {
            let kind = stem.rsplit_once('-').map_or("picture", |(_, kind)| kind);
            into.entry(kind.to_owned()).or_default().push(path);
        }
    }
    Ok(())
}

/// Decoding, preparation for each network, and the look for text: milliseconds of processor time for each picture.
fn decoding(folder: &Path) -> anyhow::Result<Vec<Picture>> {
    const EACH: usize = 12;
    let pack = pack()?;
    let prepared = [Task::Tagging, Task::ObjectDetection, Task::FaceDetection, Task::ImageEmbedding];
    println!(
        "{:<10} {:>8} {:>8}  prepare for tags, objects, faces, embedding; look for text",
        "ms", "files", "decode"
    );
    let mut files = BTreeMap::new();
    kinds(folder, &mut files)?;
    let mut pictures = Vec::new();
    for (kind, mut paths) in files {
        paths.sort();
        let step = paths.len().div_ceil(EACH);
        let (mut decode, mut count) = (Vec::new(), 0);
        let mut prepare = vec![Vec::new(); prepared.len() + 1];
        for path in paths.iter().step_by(step) {
            let bytes = std::fs::read(path)?;
            let start = ThreadTime::now();
            let Ok(image) = Image::decode(&bytes, &DecodeLimits::default()) else { continue };
            decode.push(ms(start.elapsed()));
            count += 1;
            for (times, task) in prepare.iter_mut().zip(prepared) {
                let spec = pack.model(task)?.input()?;
                let start = ThreadTime::now();
                drop(spec.prepare(image.picture())?);
                times.push(ms(start.elapsed()));
            }
            let start = ThreadTime::now();
            look_for_text(image.picture());
            prepare[prepared.len()].push(ms(start.elapsed()));
            pictures.push(Picture::clone(image.picture()));
        }
        if count == 0 {
            continue;
        }
        let medians: Vec<String> = prepare
            .iter_mut()
            .map(|times| format!("{:>6.1}", docent_benches::quantile(times, 0.5)))
            .collect();
        println!(
            "{kind:<10} {count:>8} {:>8.1}  {}",
            docent_benches::quantile(&mut decode, 0.5),
            medians.join(" ")
        );
    }
    anyhow::ensure!(!pictures.is_empty(), "there are no pictures in {}", folder.display());
    Ok(pictures)
}

/// Every network at several settings.
fn networks(pictures: &[Picture]) -> anyhow::Result<()> {
    let pack = pack()?;
    let most = BATCHES[BATCHES.len() - 1];
    let step = pictures.len().div_ceil(most);
    let some: Vec<&Picture> = pictures.iter().step_by(step).cycle().take(most).collect();
    let cores = std::thread::available_parallelism()?.get();
    println!("\nprocessor ms for each input, and inputs/s; one session, and one thread in it, unless said");
    print!("{:<24}", "");
    BATCHES.iter().for_each(|batch| print!("{:>18}", format!("batch of {batch}")));
    println!("{:>18}{:>18}", format!("{cores} threads"), format!("{cores} sessions"));

    let spec = |task| -> anyhow::Result<InputSpec> { Ok(pack.model(task)?.input()?.clone()) };
    let prepare = |task| -> anyhow::Result<Vec<_>> {
        let spec = spec(task)?;
        Ok(some.iter().map(|picture| spec.prepare(picture)).collect::<Result<Vec<_>, Error>>()?)
    };
    let tensors = |task| -> anyhow::Result<Vec<_>> {
        Ok(prepare(task)?.into_iter().map(|input| input.tensor).collect())
    };
    settings(&|options| tagging::load(&pack, options), &tensors(Task::Tagging)?)?;
    settings(&|options| objects::load(&pack, options), &prepare(Task::ObjectDetection)?)?;
    settings(&|options| faces::load_detector(&pack, options), &prepare(Task::FaceDetection)?)?;
    settings(&|options| embedding::load_image(&pack, options), &tensors(Task::ImageEmbedding)?)?;
    let whole = |picture: &Picture| BoundingBox {
        x1: 0.0,
        y1: 0.0,
        x2: picture.width() as f32,
        y2: picture.height() as f32,
    };
    // What is in them makes no difference to the networks.
    let landmarks = spec(Task::FaceLandmarks)?;
    let inputs: Vec<_> = some
        .iter()
        .map(|picture| faces::prepare_landmarks(&landmarks, picture, whole(picture)))
        .collect::<Result<_, Error>>()?;
    settings(&|options| faces::load_landmarks(&pack, options), &inputs)?;
    settings(&|options| faces::load_embedder(&pack, options), &tensors(Task::FaceEmbedding)?)?;
    let expressions = spec(Task::Emotion)?;
    let inputs: Vec<_> = some
        .iter()
        .map(|picture| emotion::prepare(&expressions, picture, whole(picture)))
        .collect::<Result<_, Error>>()?;
    settings(&|options| emotion::load(&pack, options), &inputs)?;
    let tokens =
        embedding::load_image(&pack, &SessionOptions::default())?.run(&tensors(Task::ImageEmbedding)?)?;
    let strategy = Strategy::Beam { width: 3 };
    let requests: Vec<_> =
        tokens.into_iter().map(|answer| CaptionRequest { tokens: answer.tokens, strategy }).collect();
    settings(&|options| captioning::load(&pack, options), &requests)?;

    let mut reader =
        ocr::load_tesseract(&OcrOptions { languages: vec!["eng".to_owned()], tessdata: None, time: None })?;
    let mut times = Vec::new();
    for picture in &some {
        let input = Page::from_picture(picture);
        let start = ThreadTime::now();
        reader.run(&[input])?;
        times.push(ms(start.elapsed()));
    }
    println!(
        "{:<24}{}",
        reader.model().to_string(),
        times.iter().map(|time| format!("{time:.0} ")).collect::<String>()
    );
    Ok(())
}

type Load<'a, I, O> =
    dyn Fn(&SessionOptions) -> Result<Box<dyn Network<Input = I, Output = O>>, Error> + Sync + 'a;

fn settings<I: Sync + Send + 'static, O: Send + 'static>(
    load: &Load<'_, I, O>,
    inputs: &[I],
) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let one = SessionOptions::default();
    let mut network = load(&one)?;
    print!("{:<24}", network.model().to_string());
    for batch in BATCHES {
        let cost = cost(1, || network.run(&inputs[..batch]).map(|answers| answers.len()))?;
        print!("{cost:>18}");
    }
    drop(network);
    let mut network = load(&SessionOptions { intra_threads: cores, ..SessionOptions::default() })?;
    print!("{:>18}", cost(1, || network.run(&inputs[..1]).map(|answers| answers.len()))?);
    let mut sessions = (0..cores).map(|_| load(&one)).collect::<Result<Vec<_>, Error>>()?;
    let together = cost(cores, || {
        std::thread::scope(|scope| {
            let runs: Vec<_> =
                sessions.iter_mut().map(|session| scope.spawn(|| session.run(&inputs[..1]))).collect();
            let mut answers = 0;
            for run in runs {
                answers += run.join().map_err(|_| Error::Input("a thread died".to_owned()))??.len();
            }
            Ok(answers)
        })
    })?;
    println!("{together:>18}");
    Ok(())
}

/// Processor time and speed of `run`, which says how many inputs it answered.
fn cost(threads: usize, mut run: impl FnMut() -> Result<usize, Error>) -> anyhow::Result<String> {
    run()?;
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let mut answered = 0;
    // Threads that are started for each call are part of the time: their cost shows in short calls only.
    while wall.elapsed() < WHILE * threads as u32 {
        answered += run()?;
    }
    let each = ms(cpu.elapsed()) / answered as f64;
    Ok(format!("{each:.2} ({:.0}/s)", answered as f64 / wall.elapsed().as_secs_f64()))
}

/// Answers at once.
struct Nothing(ModelRef);

impl Network for Nothing {
    type Input = u32;
    type Output = u32;

    fn model(&self) -> &ModelRef {
        &self.0
    }

    fn run(&mut self, batch: &[u32]) -> Result<Vec<u32>, Error> {
        Ok(batch.to_vec())
    }
}

/// What the way to a network and back takes.
fn executor(runtime: &Runtime) -> anyhow::Result<()> {
    const TIMES: u32 = 50_000;
    let options = ExecutorOptions { sessions: 1, max_batch: 1, inbox: 6 };
    let handle = ModelHandle::spawn("nothing", options, || {
        Ok(Box::new(Nothing(ModelRef::new("nothing", "1"))) as Box<dyn Network<Input = u32, Output = u32>>)
    })?;
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    runtime.block_on(async {
        for number in 0..TIMES {
            anyhow::ensure!(handle.run(number).await? == number, "another answer");
        }
        anyhow::Ok(())
    })?;
    let each = |time: Duration| ms(time) * 1e3 / f64::from(TIMES);
    println!(
        "\nexecutor: {:.1} us of processor time for each input, {:.1} us there and back",
        each(cpu.elapsed()),
        each(wall.elapsed())
    );
    Ok(())
}

/// Runs with a vector each, written to a ledger in a file, some at a time.
async fn ledger() -> anyhow::Result<()> {
    const RUNS: usize = 4096;
    println!();
    for together in [1, 16, 64] {
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(&folder.path().join("ledger.sqlite")).await?;
        let model = ModelRef::new("none", "1");
        let wanted: Wanted = [(AnalyzerId::Embedding, model.clone())].into();
        let files: Vec<FoundFile> = (0..RUNS)
            .map(|number| FoundFile {
                uri: format!("file:///archive/{number}.jpg"),
                stamp: FileStamp { bytes: 100, modified_ns: 7 },
                hash: ContentHash::of(&number.to_le_bytes()).into(),
                lane: Lane::Backfill,
                owner: None,
            })
            .collect();
        store.register(&files, &wanted).await?;
        let request = LeaseRequest {
            owner: "bench".to_owned(),
            limit: RUNS as u32,
            duration: Duration::from_secs(600),
            lane: None,
            wanted: wanted.clone(),
        };
        let space = VectorSpace::picture(&model);
        let mut finished = Vec::new();
        for job in store.lease(&request).await? {
            store.begin_run(&job, "bench").await?;
            finished.push(Finished {
                analysis: Analysis {
                    vectors: vec![vector(&space, &job.asset)],
                    spaces: [space.clone()].into(),
                    completed: wanted.clone(),
                    ..Analysis::default()
                },
                run: Run {
                    asset: job.asset,
                    owner: "bench".to_owned(),
                    picture: Some(PictureFacts::new(600, 400, "jpeg")),
                },
                outcomes: vec![Outcome {
                    analyzer: AnalyzerId::Embedding,
                    model: model.clone(),
                    state: OutcomeState::Done,
                }],
            });
        }
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        for some in finished.chunks(together) {
            store.record(some).await?;
        }
        speed(&format!("ledger (SQLite), {together} runs at a time"), RUNS, cpu.elapsed(), wall.elapsed());
        store.close().await;
    }
    Ok(())
}

/// Vectors sent to what answers like Qdrant in this process: what the adapter and the way cost, and no server's work.
async fn index() -> anyhow::Result<()> {
    const VECTORS: usize = 8192;
    let space = VectorSpace::picture(&ModelRef::new("none", "1"));
    for together in [1, 16, 64, 256] {
        let server = QdrantServer::start();
        let index = QdrantIndex::connect(QdrantOptions::new(server.url()))?;
        let records: Vec<VectorRecord> = (0..VECTORS)
            .map(|number| vector(&space, &ContentHash::of(&number.to_le_bytes()).asset_id()))
            .collect();
        index.upsert(&records[..1]).await?;
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        for some in records.chunks(together) {
            index.upsert(some).await?;
        }
        speed(
            &format!("index (adapter for Qdrant), {together} vectors at a time"),
            VECTORS,
            cpu.elapsed(),
            wall.elapsed(),
        );
        server.stop().await;
    }
    Ok(())
}

fn vector(space: &VectorSpace, asset: &AssetId) -> VectorRecord {
    let values = (0..384_u16).map(|place| f32::from(place % 7)).collect();
    VectorRecord::new(asset.clone(), space.clone(), None, values)
}

fn speed(what: &str, count: usize, cpu: Duration, wall: Duration) {
    let each = ms(cpu) / count as f64;
    println!(
        "{what:<52} {each:>6.2} ms of processor time each, {:>6.0}/s",
        count as f64 / wall.as_secs_f64()
    );
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn pack() -> anyhow::Result<Arc<Pack>> {
    Ok(Arc::new(Pack::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))?))
}
