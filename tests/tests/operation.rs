//! What an operator sees: whether a process can work and why not, what `docent doctor` finds, what is measured, and alerts.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use docent_tests::cluster::{Cluster, Worker};
use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// Whatever is away is known to be after this time.
const SOON: Duration = Duration::from_secs(3);
/// Nothing else that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);
const SECRETS: [&str; 4] = ["not-a-secret", "guest:guest", "hunter2", "key-of-the-index"];

/// What doctor found, by check.
fn doctor(docent: &Docent) -> Vec<Value> {
    let ended = docent.run(["doctor", "--format=json"]);
    for secret in SECRETS {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:?}");
    }
    ended.json()
}

fn finding(found: &[Value], check: &str) -> Value {
    let finding = found.iter().find(|finding| finding["check"] == check);
    finding.unwrap_or_else(|| panic!("no '{check}' in {found:?}")).clone()
}

/// A problem with all of these words in what was found, and all of those in the hint.
fn problem(finding: &Value, words: &[&str], hints: &[&str]) {
    assert_eq!(finding["ok"], false, "{finding}");
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_lowercase();
    for word in words {
        assert!(text("detail").contains(word), "'{word}' is not told: {finding}");
    }
    for word in hints {
        assert!(text("hint").contains(word), "'{word}' is not in the hint: {finding}");
    }
    assert!(!text("hint").contains("data directory"), "{finding}");
}

/// Addresses on which nobody listens, or that take connections and say nothing.
fn backends(port: u16) -> String {
    format!(
        "[backends]\nqueue = 'amqp://ann:hunter2@127.0.0.1:{port}/%2f'\nstore = \
         'postgres://ann:hunter2@127.0.0.1:{port}/docent'\nvectors = 'http://127.0.0.1:{port}'\n\
         [analyzers]\nenabled = ['tags']\n"
    )
}

#[test]
fn servers_that_are_away_are_told_with_their_names() {
    let docent = Docent::new(PROGRAM);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("has an address").port();
    let server = format!("127.0.0.1:{port}");
    docent.configure(&backends(port));
    // It listens, and never answers.
    let started = Instant::now();
    let found = doctor(&docent);
    for (check, option) in [("ledger", "--store"), ("queue", "--queue"), ("index", "--vectors")] {
        problem(&finding(&found, check), &["no answer within"], &[&server, option]);
    }
    // One after the other they would take three times as long as one.
    assert!(started.elapsed() < PATIENCE / 4, "{:?}", started.elapsed());

    drop(listener);
    let found = doctor(&docent);
    problem(&finding(&found, "ledger"), &["refused (os error"], &[&server, "--store"]);
    problem(&finding(&found, "queue"), &["refused"], &[&server, "--queue"]);
    problem(&finding(&found, "index"), &["unavailable"], &[&server, "--vectors"]);
    // And a person who just wants to work hears the same, soon.
    for command in [&["status"][..], &["serve", "--listen", "127.0.0.1:0"], &["ingest", "."]] {
        let ended = docent.run(command).expect(2);
        let told = ended.stderr.to_lowercase();
        assert!(told.contains("refused (os error") && !told.contains("pool"), "{told}");
        assert!(told.contains(&server) && !told.contains("data directory"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(ended.elapsed < PATIENCE / 12, "{command:?} took {:?}", ended.elapsed);
    }
}

/// Runs statements on the ledger's server.
fn sql(cluster: &Cluster, statements: &[&str]) {
    cluster.block_on(async {
        let mut connection = PgConnection::connect(&cluster.ledger.url("postgres")).await.expect("connects");
        for statement in statements {
            let statement = sqlx::AssertSqlSafe((*statement).to_owned());
            connection.execute(sqlx::raw_sql(statement)).await.expect("is done");
        }
    });
}

/// The answer of `/readyz`: the status of HTTP, and what it says.
fn readiness(process: &Worker) -> (bool, Value) {
    let answer = process.get("/readyz");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
    (
        head.starts_with("HTTP/1.1 200"),
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")),
    )
}

/// Waits until a part is away for this reason; answers how long that took.
fn until_away(process: &Worker, part: &str, reason: &str) -> Duration {
    let started = Instant::now();
    loop {
        let (ready, told) = readiness(process);
        let why = told["backends"][part]["reason"].as_str().unwrap_or_default();
        if !ready && why.contains(reason) {
            assert_eq!(
                (&told["ready"], &told["backends"][part]["up"]),
                (&Value::Bool(false), &Value::Bool(false))
            );
            return started.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "{part} is not away for '{reason}': {told}");
        std::thread::sleep(LOOK);
    }
}

fn serve(docent: &Docent) -> Worker {
    Worker::of(docent.start(["serve", "--listen", "127.0.0.1:0"]))
}

/// One cluster for all that a cluster is needed for: it takes ten seconds to start.
#[test]
fn a_cluster_is_watched() {
    let cluster = Cluster::start();
    let docent = Docent::new(PROGRAM);
    let analyzers = "[analyzers]\nenabled = ['tags', 'embedding']\n[work]\nretry_delay_ms = 100\n";
    docent.configure(&format!("{analyzers}{}", cluster.configuration()));
    let found = doctor(&docent);
    assert_eq!(finding(&found, "ledger")["ok"], true, "{found:?}");
    assert!(finding(&found, "ledger")["detail"].as_str().is_some_and(|told| told.contains("no ledger yet")));
    assert_eq!(finding(&found, "queue")["ok"], true, "{found:?}");
    assert_eq!(finding(&found, "index")["ok"], true, "{found:?}");

    let worker = Worker::of(docent.start(["worker"]));
    worker.until(true);
    let api = serve(&docent);
    api.until(true);
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 6, 1);
    std::fs::write(pictures.join("broken.jpg"), b"\xff\xd8\xff\xe0 and no more").expect("is written");
    docent.ingest(&pictures);
    cluster.until_nothing_is_left();
    let found = doctor(&docent);
    assert!(
        finding(&found, "ledger")["detail"].as_str().is_some_and(|told| told.contains("7 pictures")),
        "{found:?}"
    );
    assert!(
        finding(&found, "queue")["detail"].as_str().is_some_and(|told| told.contains("0 uploads")),
        "{found:?}"
    );

    everything_is_measured(&worker, &api);
    a_full_disk_is_told(&cluster, &docent, &worker);
    a_ledger_that_dies_or_is_silent_is_told(&cluster, &worker, &api);
    refusals_are_told_in_words(&cluster, &docent);
    worker.end();
    drop(api.kill());
}

/// Names that begin with `docent_` or `process_` in the files of monitoring, without what histograms add.
fn asked_for() -> BTreeSet<String> {
    let docker = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker");
    let mut names = BTreeSet::new();
    for file in ["prometheus-alerts.yml", "grafana-dashboard.json"] {
        let text = std::fs::read_to_string(docker.join(file)).expect("a file of the repository");
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        let metrics = words.filter(|word| word.starts_with("docent_") || word.starts_with("process_"));
        names.extend(metrics.map(|name| {
            let ends = ["_bucket", "_sum", "_count"];
            ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
        }));
    }
    names
}

fn everything_is_measured(worker: &Worker, api: &Worker) {
    let told = format!("{}\n{}", worker.get("/metrics"), api.get("/metrics"));
    let asked = asked_for();
    assert!(asked.len() > 10, "{asked:?}");
    for name in &asked {
        assert!(
            told.contains(&format!("# HELP {name} ")),
            "{name} is asked for by docker/ and not told:\n{told}"
        );
    }
    for line in told.lines() {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        assert!(!line.starts_with("# TYPE") || !line.ends_with("summary"), "not a classic histogram: {line}");
        let Some(own) = name.strip_prefix("docent_") else { continue };
        let ends = ["_bucket", "_sum", "_count"];
        let own = ends.iter().find_map(|end| own.strip_suffix(end)).unwrap_or(own);
        assert!(told.contains(&format!("# HELP docent_{own} ")), "nobody says what docent_{own} is");
    }
    for line in [
        "docent_dead_letters_total 0",
        "docent_http_errors_total 0",
        "docent_analyses_total{analyzer=\"embedding\",state=\"failed\"} 0",
        "docent_analyses_total{analyzer=\"decode\",state=\"failed\"} 1",
        "docent_asset_seconds_bucket{le=\"300\"} 7",
        "docent_asset_seconds_count 7",
        "docent_backend_up{backend=\"store\"} 1",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
}

fn a_full_disk_is_told(cluster: &Cluster, docent: &Docent, worker: &Worker) {
    sql(
        cluster,
        &[
            "create function no_room() returns trigger language plpgsql as $$ begin raise exception \
             'could not extend file: No space left on device' using errcode = '53100'; end $$",
            "create trigger no_room before update of lease_until on asset for each row execute function no_room()",
        ],
    );
    let pictures = docent.folder().join("more");
    corpus::write(&pictures, 2, 2);
    docent.ingest(&pictures);
    let took = until_away(worker, "store", "No space left on device");
    // Work is looked for once a second at least, and the ledger is asked as often.
    assert!(took < SOON, "{took:?}");
    sql(cluster, &["drop trigger no_room on asset", "drop function no_room"]);
    worker.until(true);
    cluster.until_nothing_is_left();
}

fn a_ledger_that_dies_or_is_silent_is_told(cluster: &Cluster, worker: &Worker, api: &Worker) {
    cluster.ledger.kill();
    for process in [worker, api] {
        let took = until_away(process, "store", "refused");
        assert!(took < SOON, "{took:?}");
    }
    assert!(worker.get("/metrics").contains("docent_backend_up{backend=\"store\"} 0"));
    cluster.ledger.resume().expect("PostgreSQL starts again");
    worker.until(true);
    api.until(true);
    cluster.ledger.pause(true);
    for process in [worker, api] {
        let took = until_away(process, "store", "no answer within");
        assert!(took < SOON, "{took:?}");
    }
    cluster.ledger.pause(false);
    worker.until(true);
    api.until(true);
}

fn refusals_are_told_in_words(cluster: &Cluster, docent: &Docent) {
    // Whoever is called picky needs a password.
    sql(
        cluster,
        &[
            "create role picky login password 'right'",
            "do $$ begin execute format($f$copy (select unnest(array['host all picky 127.0.0.1/32 scram-sha-256', \
             'host all all 127.0.0.1/32 trust'])) to %L$f$, current_setting('hba_file')); end $$",
            "select pg_reload_conf()",
        ],
    );
    cluster.index.require_key("another");
    let usual = cluster.configuration();
    let ledger = cluster.ledger.url("postgres");
    let with = |store: &str, queue: &str| {
        let changed = |line: &str| match line.split_once(" = ") {
            Some(("store", _)) => format!("store = '{store}'"),
            Some(("queue", _)) => format!("queue = '{queue}'"),
            _ => line.to_owned(),
        };
        docent.configure(&usual.lines().map(changed).collect::<Vec<_>>().join("\n"));
        doctor(docent)
    };
    let broker = cluster.broker.url();
    let picky = ledger.replace("docent:not-a-secret", "picky:hunter2");
    let found = with(&picky, &broker.replace("guest:guest", "guest:hunter2"));
    let port = cluster.ledger.port().to_string();
    problem(&finding(&found, "ledger"), &["password authentication failed"], &[&port, "user, password"]);
    problem(&finding(&found, "queue"), &["refuses user or password"], &[&cluster.broker.port().to_string()]);
    problem(&finding(&found, "index"), &["api key"], &["docent_backends_vectors_key"]);
    let found = with(&cluster.ledger.url("elsewhere"), &broker.replace("%2f", "elsewhere"));
    problem(&finding(&found, "ledger"), &["database \"elsewhere\" does not exist"], &["elsewhere"]);
    problem(&finding(&found, "queue"), &["no such virtual host"], &["elsewhere"]);
}

/// Sends a request that changes something; answers the status.
fn post(page: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(page).expect("listens");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    )
    .expect("is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// The embedded ledger on a disk that takes no more: the limit of a file's size stands for it, which needs no rights.
#[test]
fn a_ledger_that_cannot_grow_is_told() {
    let docent = Docent::new(PROGRAM);
    docent.configure("[analyzers]\nenabled = ['tags']\n");
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 3, 3);
    docent.ingest(&pictures);
    let suggestions = docent.suggestions();
    let id = suggestions[0]["id"].as_str().expect("an id");
    // Room for the log of a few decisions.
    let mut run: Running = docent.start_with_small_files(["serve", "--listen", "127.0.0.1:0"]);
    run.until_printed("http://127.0.0.1:");
    let page = run.stdout().trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let api = Worker::of(run);
    assert!(readiness(&api).0);
    let deadline = Instant::now() + PATIENCE;
    let failed = 'full: loop {
        for decision in ["accept", "undo"] {
            let status = post(&page, &format!("/api/v1/suggestions/{id}/{decision}"));
            if status != 200 {
                break 'full status;
            }
        }
        assert!(Instant::now() < deadline, "the log grows without end");
    };
    assert_eq!(failed, 503);
    let took = until_away(&api, "store", "write to the ledger");
    assert!(took < SOON, "{took:?}");
    drop(api.kill());
}

/// `promtool` of Prometheus, where it is installed.
fn promtool() -> Option<PathBuf> {
    let named = std::env::var_os("DOCENT_TEST_PROMTOOL").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("promtool"));
    named.into_iter().chain(found).find(|program| program.is_file())
}

#[test]
fn alerts_fire_on_series_that_were_made_up() {
    let docker = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker");
    let read = |name: &str| std::fs::read_to_string(docker.join(name)).expect("a file of the repository");
    let (alerts, plays) = (read("prometheus-alerts.yml"), read("prometheus-alerts.test.yml"));
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<&str> = names.collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        // Quiet in the calm hour, and loud in one of its own.
        assert!(plays.contains(&format!("{{ alertname: {name}, eval_time: 1h }}")), "{name} is not played");
        assert!(plays.contains(&format!("- alertname: {name}\n")), "{name} never fires");
    }
    let Some(promtool) = promtool() else {
        eprintln!("skipped: there is no promtool (Debian: prometheus; or DOCENT_TEST_PROMTOOL)");
        return;
    };
    let mut command = Command::new(promtool);
    let ended = command.args(["test", "rules", "prometheus-alerts.test.yml"]).current_dir(&docker).output();
    let ended = ended.expect("promtool starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}
