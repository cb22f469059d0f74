//! Watched folders: what comes, changes and goes there, told by events or found by sweeps.

mod drives;
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docent::assets::{Ignored, Roots, path_of_uri};
use docent::progress::Progress;
use docent::scanner::Scanner;
use docent::store::{Ledger, PostgresOptions, PostgresStore, SqliteStore, StoreError, Wanted};
use docent::watch::{Portion, State, Told, Watch, WatchedFolder};
use docent_models::ModelRef;
use docent_pipelines::AnalyzerId;
use docent_tests::servers::Database;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(120);
/// A sweep that no test waits for.
const NEVER: Duration = Duration::from_secs(86_400);
const SETTLE: Duration = Duration::from_millis(200);

/// As much of a picture as a scan looks at. Each content has a size of its own.
fn picture(content: usize) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0];
    bytes.resize(100 + content, 7);
    bytes
}

/// A watched folder with a ledger.
struct Watched {
    above: tempfile::TempDir,
    ledger: Arc<dyn Ledger>,
    told: mpsc::Receiver<Told>,
    total: Portion,
    states: Vec<State>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), StoreError>>,
}

/// Watches `folder` for `ledger`.
fn watch(
    folder: WatchedFolder,
    ledger: &Arc<dyn Ledger>,
    stop: &CancellationToken,
) -> (mpsc::Receiver<Told>, JoinHandle<Result<(), StoreError>>) {
    let scanner = Scanner {
        ledger: Arc::clone(ledger),
        wanted: Wanted::from([(AnalyzerId::Decode, ModelRef::new("decoder", "1"))]),
        owner: folder.owner.clone(),
        ignored: Ignored::try_from(vec!["*.gif".to_owned()]).expect("the patterns are sound"),
        reread: false,
        follow_symlinks: false,
        roots: Roots::default(),
        progress: Arc::new(Progress::default()),
        wake: Arc::new(Notify::new()),
    };
    let (tell, told) = mpsc::channel(16);
    let watch = Watch::new(vec![(folder, scanner)], Some(tell));
    let stop = stop.clone();
    (told, tokio::spawn(async move { watch.run(&stop).await }))
}

impl Watched {
    async fn new(poll: Option<Duration>) -> Self {
        let above = tempfile::tempdir().expect("a temporary folder");
        let ledger = SqliteStore::open(&above.path().join("ledger.sqlite")).await.expect("a ledger");
        Self::over(above, Arc::new(ledger), poll)
    }

    fn over(above: tempfile::TempDir, ledger: Arc<dyn Ledger>, poll: Option<Duration>) -> Self {
        let path = above.path().join("watched");
        fs::create_dir_all(&path).expect("a folder");
        fs::create_dir_all(above.path().join("elsewhere")).expect("a folder");
        let stop = CancellationToken::new();
        let folder = WatchedFolder { path, owner: None, poll, sweep: NEVER, settle: SETTLE };
        let (told, task) = watch(folder, &ledger, &stop);
        Self { above, ledger, told, total: Portion::default(), states: Vec::new(), stop, task }
    }

    fn at(&self, inside: &str) -> PathBuf {
        self.above.path().join("watched").join(inside)
    }

    fn elsewhere(&self, name: &str) -> PathBuf {
        self.above.path().join("elsewhere").join(name)
    }

    fn write(&self, inside: &str, content: usize) {
        let path = self.at(inside);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, picture(content)).expect("is written");
    }

    /// Waits until `enough` is told.
    async fn until(&mut self, what: &str, enough: impl Fn(&Portion, &[State]) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !enough(&self.total, &self.states) {
            let told = tokio::time::timeout_at(deadline.into(), self.told.recv()).await;
            match told.unwrap_or_else(|_| panic!("{what}: {:?}, {:?}", self.total, self.states)) {
                Some(Told::Portion { portion, .. }) => self.total.add(portion),
                Some(Told::Folder { state, .. }) => self.states.push(state),
                None => panic!("{what}: the watch ended"),
            }
        }
    }

    /// Places of the ledger by their path below the folder, and whether they are gone.
    async fn places(&self) -> BTreeMap<String, bool> {
        let root = self.at("");
        let uri = docent::assets::file_uri(&root);
        let places = self.ledger.places_below(&uri, None, 100_000).await.expect("places");
        let inside = |uri: &str| {
            let path = path_of_uri(uri).expect("a path");
            path.strip_prefix(&root).expect("is inside").to_string_lossy().into_owned()
        };
        places.into_iter().map(|place| (inside(&place.uri), place.gone)).collect()
    }

    /// Waits until the ledger has exactly these places, with those that are gone.
    async fn until_known(&mut self, there: &[&str], gone: &[&str]) {
        let expected: BTreeMap<String, bool> = there
            .iter()
            .map(|path| ((*path).to_owned(), false))
            .chain(gone.iter().map(|path| ((*path).to_owned(), true)))
            .collect();
        let deadline = Instant::now() + LIMIT;
        loop {
            let places = self.places().await;
            if places == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{places:?} and not {expected:?}; told {:?}", self.total);
            while let Ok(told) = self.told.try_recv() {
                match told {
                    Told::Portion { portion, .. } => self.total.add(portion),
                    Told::Folder { state, .. } => self.states.push(state),
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A picture that comes now is taken: what came long before and is not known was not taken.
    async fn until_marked(&mut self, name: &str) {
        self.write(name, 5000 + name.len());
        let deadline = Instant::now() + LIMIT;
        while !self.places().await.contains_key(name) {
            assert!(Instant::now() < deadline, "{name} is not taken; told {:?}", self.total);
            while let Ok(Told::Portion { portion, .. }) = self.told.try_recv() {
                self.total.add(portion);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("does not panic").expect("ends in order");
    }
}

/// The life of files in a folder that is watched either way.
async fn life(mut watched: Watched) {
    watched.until_known(&[], &[]).await;
    // Written, copied into a new folder, renamed into place as rsync and browsers do.
    watched.write("a.jpg", 1);
    watched.write("1998/trip/b.jpg", 2);
    fs::write(watched.at(".c.jpg.Xb3d9F"), picture(3)).expect("is written");
    fs::rename(watched.at(".c.jpg.Xb3d9F"), watched.at("c.jpg")).expect("is renamed");
    watched.write("d.jpg.crdownload", 4);
    watched.until_known(&["a.jpg", "1998/trip/b.jpg", "c.jpg"], &[]).await;
    fs::rename(watched.at("d.jpg.crdownload"), watched.at("d.jpg")).expect("is renamed");
    fs::write(watched.elsewhere("e.jpg"), picture(5)).expect("is written");
    fs::rename(watched.elsewhere("e.jpg"), watched.at("1998/e.jpg")).expect("is renamed");
    watched.until_known(&["a.jpg", "1998/trip/b.jpg", "c.jpg", "d.jpg", "1998/e.jpg"], &[]).await;
    watched.until("five are new", |total, _| total.new == 5).await;
    // What is left out stays out, links are not followed, and what is no file is told once.
    assert!(Command::new("mkfifo").arg(watched.at("pipe.jpg")).status().expect("mkfifo runs").success());
    watched.write("@eaDir/a.jpg", 6);
    watched.write("f.gif", 7);
    watched.write("notes.txt.part", 8);
    symlink(watched.at("a.jpg"), watched.at("link.jpg")).expect("a link");
    symlink(watched.at("1998"), watched.at("linked")).expect("a link");
    // A file moves, a folder moves, one has other content, one is gone, and so is a folder.
    fs::rename(watched.at("a.jpg"), watched.at("1998/a.jpg")).expect("is renamed");
    fs::rename(watched.at("1998/trip"), watched.at("trip")).expect("is renamed");
    watched.write("c.jpg", 9);
    fs::remove_file(watched.at("d.jpg")).expect("is removed");
    watched
        .until_known(
            &["1998/a.jpg", "trip/b.jpg", "c.jpg", "1998/e.jpg"],
            &["a.jpg", "1998/trip/b.jpg", "d.jpg"],
        )
        .await;
    watched.until("moves and changes are told", |total, _| total.moved == 2 && total.changed == 1).await;
    // A sweep may miss a file that moves while it looks.
    let is_told = |total: &Portion, states: &[State]| match states {
        [State::Polled] => total.gone >= 1,
        _ => total.gone == 1,
    };
    watched.until("what is gone is told", is_told).await;
    fs::remove_dir_all(watched.at("1998")).expect("is removed");
    watched.write("1998", 10);
    watched
        .until_known(
            &["trip/b.jpg", "c.jpg", "1998"],
            &["1998/a.jpg", "1998/e.jpg", "a.jpg", "1998/trip/b.jpg", "d.jpg"],
        )
        .await;
    assert_eq!(watched.total.unreadable, 1);
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_what_comes_changes_and_goes() {
    let mut watched = Watched::new(None).await;
    watched.until("it is watched", |_, states| states == [State::Watched]).await;
    life(watched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeps_find_what_comes_changes_and_goes() {
    let mut watched = Watched::new(Some(Duration::from_millis(100))).await;
    watched.until("it is polled", |_, states| states == [State::Polled]).await;
    life(watched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_ledger_learns_the_same() {
    let database = Database::new().await.expect("a database");
    let options = PostgresOptions { connections: 4 };
    let ledger = PostgresStore::connect(database.url(), options).await.expect("connects");
    let above = tempfile::tempdir().expect("a temporary folder");
    life(Watched::over(above, Arc::new(ledger), None)).await;
}

/// No sweep helps here: a file that comes before its folder is watched is found as the folder is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_new_folders_are_not_missed() {
    let mut watched = Watched::new(None).await;
    watched.until("it is watched", |_, states| !states.is_empty()).await;
    watched.until_marked("first.jpg").await;
    let mut content = 0;
    for folder in 0..100 {
        let mut path = format!("f{folder}");
        for depth in 0..4 {
            content += 1;
            watched.write(&format!("{path}/{depth}.jpg"), content);
            path = format!("{path}/d{depth}");
        }
    }
    // A whole tree that comes at once.
    for folder in 0..50 {
        content += 1;
        let path = watched.elsewhere(&format!("tree/t{folder}/x.jpg"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, picture(content)).expect("is written");
    }
    fs::rename(watched.elsewhere("tree"), watched.at("tree")).expect("is renamed");
    watched.until("all are found", |total, _| total.new == 1 + 450).await;
    // Folders that came are watched, too.
    watched.write("tree/t49/late.jpg", 1000);
    watched.write("f99/d0/d1/d2/late.jpg", 1001);
    watched.until("late ones are found", |total, _| total.new == 1 + 452).await;
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_written_is_not_taken_half() {
    let mut watched = Watched::new(None).await;
    watched.until_marked("first.jpg").await;
    let whole = picture(700);
    let mut file = fs::File::create(watched.at("slow.jpg")).expect("is made");
    for (index, piece) in whole.chunks(200).enumerate() {
        file.write_all(piece).expect("is written");
        // Much longer than a file has to rest; but this one is open.
        watched.until_marked(&format!("{}.jpg", "m".repeat(index + 1))).await;
        assert!(!watched.places().await.contains_key("slow.jpg"), "piece {index}");
    }
    drop(file);
    watched.until("it is taken", |total, _| total.new == 2 + whole.chunks(200).len() as u64).await;
    assert_eq!(watched.total.changed, 0);
    let places =
        watched.ledger.places_below(&docent::assets::file_uri(&watched.at("slow.jpg")), None, 2).await;
    assert_eq!(places.expect("places")[0].bytes, whole.len() as u64);
    watched.end().await;
}

/// More than can be kept in mind, of events and of files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_weathered() {
    const FILES: usize = 10_000;
    let mut watched = Watched::new(None).await;
    watched.until_marked("first.jpg").await;
    fs::create_dir(watched.at("storm")).expect("a folder");
    for content in 0..FILES {
        fs::write(watched.at(&format!("storm/{content}.jpg")), picture(content)).expect("is written");
    }
    let total = watched.total;
    watched.until("all are found", |now, _| now.new + now.copies == 1 + FILES as u64).await;
    assert_eq!(total.gone, 0);
    fs::remove_dir_all(watched.at("storm")).expect("is removed");
    watched.until("all are missed", |now, _| now.gone == FILES as u64).await;
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_folder_that_is_away_is_not_gone() {
    let mut watched = Watched::new(None).await;
    watched.write("a.jpg", 1);
    watched.write("b/c.jpg", 2);
    watched.until_known(&["a.jpg", "b/c.jpg"], &[]).await;
    fs::rename(watched.at(""), watched.elsewhere("away")).expect("is renamed");
    watched.until("it is away", |_, states| states.last() == Some(&State::Away)).await;
    // As an unmounted drive leaves its place.
    fs::create_dir(watched.at("")).expect("is made");
    watched.until("it is watched", |_, states| states.last() == Some(&State::Watched)).await;
    fs::remove_dir(watched.at("")).expect("is removed");
    watched.until("it is away again", |_, states| states.last() == Some(&State::Away)).await;
    watched.until_known(&["a.jpg", "b/c.jpg"], &[]).await;
    // Back, with one more and one less.
    fs::remove_file(watched.elsewhere("away/a.jpg")).expect("is removed");
    fs::write(watched.elsewhere("away/d.jpg"), picture(3)).expect("is written");
    fs::rename(watched.elsewhere("away"), watched.at("")).expect("is renamed");
    watched.until_known(&["b/c.jpg", "d.jpg"], &["a.jpg"]).await;
    // Removed with all that is in it: that was no file's end.
    fs::remove_dir_all(watched.at("")).expect("is removed");
    watched
        .until("it is away", |_, states| states.iter().filter(|state| **state == State::Away).count() == 3)
        .await;
    watched.until_known(&["b/c.jpg", "d.jpg"], &["a.jpg"]).await;
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_watchers_of_a_folder_do_no_harm() {
    let mut watched = Watched::new(None).await;
    let folder =
        WatchedFolder { path: watched.at(""), owner: None, poll: None, sweep: NEVER, settle: SETTLE };
    let (mut heard, second) = watch(folder, &watched.ledger, &watched.stop);
    let listening = tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let names: Vec<String> = (0..40).map(|i| format!("{i:02}.jpg")).collect();
    for (content, name) in names.iter().enumerate() {
        watched.write(name, content);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    watched.until_known(&names, &[]).await;
    fs::remove_file(watched.at(names[39])).expect("is removed");
    watched.until_known(&names[..39], &names[39..]).await;
    let wanted = Wanted::from([(AnalyzerId::Decode, ModelRef::new("decoder", "1"))]);
    assert_eq!(watched.ledger.outstanding(&wanted).await.expect("counts"), 40);
    watched.end().await;
    second.await.expect("does not panic").expect("ends in order");
    listening.await.expect("ends");
}

/// The path of a file of the tests.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures/chelsea.jpg")
}
