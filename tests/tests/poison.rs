//! A picture at which workers die costs itself only.

use std::path::Path;

use docent_tests::cluster::{Cluster, Worker};
use docent_tests::corpus;
use docent_tests::program::Docent;
use docent_tests::rows::{Rows, differences};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

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
