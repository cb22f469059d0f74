//! A picture at which workers die costs itself only.

use std::path::Path;

use docent_tests::cluster::{Cluster, Worker};
use docent_tests::corpus;
use docent_tests::fixtures::endless_jpeg;
use docent_tests::program::{Docent, uri};
use docent_tests::rows::{Rows, differences};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const ANALYZERS: &str = "[analyzers]\nenabled = ['tags', 'embedding']\n";
const NEIGHBORS: usize = 24;
/// So often a picture may cost its worker while nothing is beside it.
const MOST_LOST: usize = 2;

/// Large enough that decoding it can be watched, and a worker be killed meanwhile, as the kernel does with those that
/// take too much memory.
fn write_large(path: &Path) {
    const SIDE: u32 = 12_000;
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|place| (place / SIDE % 251) as u8).collect();
    let file = std::io::BufWriter::new(std::fs::File::create(path).expect("is created"));
    PngEncoder::new_with_quality(file, CompressionType::Fast, FilterType::NoFilter)
        .write_image(&pixels, SIDE, SIDE, ExtendedColorType::L8)
        .expect("is written");
}

#[test]
fn a_picture_that_kills_its_worker_costs_itself_only() {
    let calm = Docent::new(PROGRAM);
    calm.configure(ANALYZERS);
    let pictures = calm.folder().join("pictures");
    corpus::write(&pictures, NEIGHBORS, 77);
    calm.ingest(&pictures);
    let expected = Rows::of(&calm);

    write_large(&pictures.join("large.png"));
    let cluster = Cluster::start();
    let torn = Docent::new(PROGRAM);
    let work = format!("[work]\nin_flight = 3\nretry_delay_ms = 200\nmax_lost_runs = {MOST_LOST}\n");
    torn.configure(&format!("{ANALYZERS}{}{work}", cluster.configuration()));
    torn.ingest(&pictures);
    let large: String =
        cluster.until("select asset_id from asset_path where uri like '%/large.png'", |_: &String| true);
    let standing = format!(
        "select coalesce((select state from work where asset_id = id and analyzer = 'decode'
                          and state in ('done', 'failed')),
                         case when run_began then lease_owner else '' end)
         from asset where id = '{large}'"
    );

    let mut workers: Vec<Worker> = (0..2).map(|_| Worker::start(&torn)).collect();
    let mut deaths = 0;
    loop {
        let standing: String = cluster.until(&standing, |standing: &String| !standing.is_empty());
        match standing.as_str() {
            "failed" => break,
            "done" => panic!("it was analyzed before its worker could be killed"),
            owner => {
                let pid = owner.split('-').next().expect("begins with the process's number");
                // The lease of a dead worker stands until its delivery comes back.
                let place = workers.iter().position(|worker| worker.pid().to_string() == pid);
                if let Some(place) = place {
                    let ended = workers.swap_remove(place).kill();
                    assert_eq!(ended.code, None, "a worker ended by itself: {}", ended.stderr);
                    workers.push(Worker::start(&torn));
                    deaths += 1;
                }
            }
        }
    }
    cluster.until_nothing_is_left();
    for worker in workers {
        worker.end();
    }
    // Once beside others, then alone until it is given up.
    assert_eq!(deaths, 1 + MOST_LOST + 1);
    let found = Rows::of(&torn);
    let changes = differences(&expected.suggestions, &found.suggestions);
    assert!(expected.suggestions == found.suggestions, "{changes}");
    assert_eq!(found.failures.len(), 1, "{:?}", found.failures);
    let (place, failure) = found.failures.first_key_value().expect("there is one");
    assert!(place.ends_with("large.png"), "{place}");
    let reason = failure["reason"].as_str().expect("a text");
    assert!(reason.contains("docent was stopped 3 times"), "{reason}");
    assert_eq!(cluster.waiting(), [0, 0, 1], "one dead letter, nothing in the lanes");
    eprintln!("{deaths} workers died of it: {reason}");
}

/// Keeps every asset that is suspected, with who had begun the run.
const WATCH: &str = "
    create table suspected (id text primary key, owner text, began boolean);
    create function suspected() returns trigger language plpgsql as $$ begin
        insert into suspected values (new.id, old.lease_owner, old.run_began) on conflict do nothing;
        return null;
    end $$;
    create trigger suspected after update on asset for each row when (new.suspect > 0)
        execute function suspected()";

#[test]
fn what_was_only_fetched_and_what_lost_its_connection_is_suspected_of_nothing() {
    let cluster = Cluster::start();
    let docent = Docent::new(PROGRAM);
    docent.configure(&format!("{ANALYZERS}{}[work]\nin_flight = 2\n", cluster.configuration()));
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 240, 78);
    docent.ingest(&pictures);
    cluster.execute(WATCH);
    let workers: Vec<Worker> = (0..2).map(|_| Worker::start(&docent)).collect();

    // Both live on, and all that they had fetched comes again, what they had begun included.
    let done = "select count(*) from work where analyzer = 'embedding' and state = 'done'";
    let begun = "select count(*) from asset where run_began";
    cluster.until::<i64>(done, |done| *done >= 20);
    cluster.until::<i64>(begun, |begun| *begun > 0);
    cluster.line.cut();
    cluster.until::<i64>(done, |done| *done >= 80);
    let suspected: i64 = cluster.until("select count(*) from suspected", |_: &i64| true);
    assert_eq!(suspected, 0, "a connection was lost, and nothing else");

    // One dies: only what it had begun is suspected, of all that it had fetched.
    let dead = workers[0].pid();
    let begun = format!("select count(*) from asset where run_began and lease_owner like '{dead}-%'");
    cluster.until::<i64>(&begun, |begun| *begun > 0);
    let mut workers = workers.into_iter();
    assert_eq!(workers.next().expect("there are two").kill().code, None);
    cluster.until_nothing_is_left();
    for worker in workers {
        worker.end();
    }
    let of_others = format!("select count(*) from suspected where not began or owner not like '{dead}-%'");
    let of_others: i64 = cluster.until(&of_others, |_: &i64| true);
    assert_eq!(of_others, 0, "somebody is suspected who had begun nothing, or lives");
    let suspected: i64 = cluster.until("select count(*) from suspected", |_: &i64| true);
    eprintln!("{suspected} were run alone");
    assert!(docent.failures().is_empty());
}

/// Hands in what lies at a place, as another program would.
async fn submit(broker: &str, place: &str) -> lapin::Result<()> {
    let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let body = json!({ "version": 1, "uri": place }).to_string();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel
        .basic_publish("".into(), "docent.intake.interactive".into(), options, body.as_bytes(), properties)
        .await?;
    connection.close(0, "".into()).await
}

/// Takes a dead letter: its body, and why it is dead.
async fn dead_letter(broker: &str) -> lapin::Result<(String, String)> {
    let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let get = BasicGetOptions { no_ack: true };
    let letter = channel.basic_get("docent.dead".into(), get).await?.expect("there is one").delivery;
    let headers = letter.properties.headers().as_ref().expect("has headers");
    let reason = headers.inner().get("x-docent-reason").and_then(|reason| reason.as_long_string());
    let reason = String::from_utf8_lossy(reason.expect("a reason").as_bytes()).into_owned();
    connection.close(0, "".into()).await?;
    Ok((String::from_utf8_lossy(&letter.data).into_owned(), reason))
}

/// What is named by others is refused before anybody waits for it, and probes tell of pictures that take too long.
#[test]
fn what_others_name_stops_no_worker_and_what_is_stuck_is_told() {
    let cluster = Cluster::start();
    let broker = cluster.broker.url();
    let docent = Docent::new(PROGRAM);
    let pictures = docent.folder().join("pictures");
    let good = corpus::write(&pictures, 1, 78).remove(0);
    let options = "in_flight = 1\ntimeout_seconds = 1\nretry_delay_ms = 100\n";
    docent.configure(&format!(
        "[analyzers]\nenabled = ['tags']\n[assets]\nroots = ['{}']\n[work]\n{options}{}",
        pictures.display(),
        cluster.configuration()
    ));
    let worker = Worker::start(&docent);
    worker.until(true);

    let mut refused = Vec::new();
    for number in 0..3 {
        let pipe = pictures.join(format!("pipe {number}.jpg"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        refused.push((uri(&pipe), "a named pipe, not a file"));
    }
    let (socket, folder, link) =
        (pictures.join("socket.jpg"), pictures.join("folder.jpg"), pictures.join("link.jpg"));
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
    refused.push((uri(&socket), "a socket, not a file"));
    refused.push((uri(&folder), "a folder, not a file"));
    refused.push((uri(&link), "outside of the folders that may be read (assets.roots)"));
    let up = format!("{}/../../../../../../../../etc/hostname", uri(&pictures));
    refused.push((up, "outside of the folders that may be read (assets.roots)"));
    let notes = pictures.join("notes");
    std::fs::write(&notes, "root:x:0:0:root:/root:/bin/bash").expect("is written");
    refused.push((uri(&notes), "neither its content nor its name is that of a picture"));
    refused.push(("file:///etc/passwd".to_owned(), "outside of the folders that may be read (assets.roots)"));
    refused.push(("file:///dev/zero".to_owned(), "outside of the folders that may be read (assets.roots)"));
    refused.push(("file://nas/a.jpg".to_owned(), "it names the machine 'nas'"));
    for (place, _) in &refused {
        cluster.block_on(submit(&broker, place)).expect("publishes");
    }
    // Another program writes the place of a picture in its own way.
    let other = uri(&good).replace("pictures", "%70ictures//.").replace("file://", "file://localhost");
    cluster.block_on(submit(&broker, &other)).expect("publishes");
    let place: String = cluster.until("select max(uri) from asset_path", |_: &String| true);
    assert_eq!(place, uri(&good));
    cluster.until("select count(*) from work where state = 'done'", |done: &i64| *done == 2);
    while cluster.waiting() != [0, 0, refused.len() as u32] {
        assert!(worker.ready());
    }
    for _ in 0..refused.len() {
        let (body, reason) = cluster.block_on(dead_letter(&broker)).expect("is read");
        let (place, why) =
            refused.iter().find(|(place, _)| body.contains(place)).expect("it is one of these");
        assert!(reason.contains(why), "{place}: {reason}");
    }

    // One more than there are places would be too many.
    assert!(worker.get("/metrics").contains("docent_stuck 0"), "{}", worker.get("/metrics"));
    for number in 0..2 {
        let endless = pictures.join(format!("endless {number}.jpg"));
        std::fs::write(&endless, endless_jpeg(number)).expect("is written");
        cluster.block_on(submit(&broker, &uri(&endless))).expect("publishes");
    }
    worker.until(false);
    let answer = worker.get("/readyz");
    assert!(answer.contains("\"stuck\":2"), "{answer}");
    assert!(worker.get("/healthz").starts_with("HTTP/1.1 200"));
    // They come to their ends, and the worker goes on.
    worker.until(true);
    cluster.until_nothing_is_left();
    worker.end();
}
