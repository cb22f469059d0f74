//! What the Qdrant index does beyond the cases that all indexes share: what it asks of the server, and what it does
//! when the server is slow, away, or somebody else's.

mod refusals;

use std::collections::HashSet;
use std::error::Error;
use std::time::{Duration, Instant};

use docent::vectors::{IndexError, QdrantIndex, QdrantOptions, VectorIndex};
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
use docent_tests::conformance::vectors::asset;
use docent_tests::qdrant::{Event, QdrantServer};

const COLLECTION: &str = "docent_picture_2ftest_401";

fn space() -> VectorSpace {
    VectorSpace::from_name("picture/test@1")
}

fn connect(server: &QdrantServer) -> QdrantIndex {
    QdrantIndex::connect(QdrantOptions::new(server.url())).expect("the options are right")
}

fn record(number: u32) -> VectorRecord {
    let angle = number as f32 * 0.0005;
    VectorRecord::new(asset(number), space(), None, vec![angle.cos(), angle.sin(), 0.0])
}

fn records(count: u32) -> Vec<VectorRecord> {
    (0..count).map(record).collect()
}

async fn nearest(index: &QdrantIndex, k: usize, only: Option<&HashSet<AssetId>>) -> Vec<AssetId> {
    let found = index.search(&space(), &[1.0, 0.0, 0.0], k, only).await.expect("searches");
    found.into_iter().map(|neighbor| neighbor.asset).collect()
}

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, IndexError>) {
    let error = answer.expect_err("the server is away");
    assert!(matches!(error, IndexError::Unavailable { .. }), "{error:?}");
}

/// Everything that could be shown of an error.
fn shown(error: &IndexError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text} {error} {error:?}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn the_payload_index_is_there_before_the_first_point() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(1)).await.expect("upserts");
    index.upsert(&records(2)).await.expect("upserts");
    let collection = COLLECTION.to_owned();
    let upserted = |points| Event::Upserted { collection: collection.clone(), points, wait: true };
    assert_eq!(
        server.journal(),
        [
            Event::Created { collection: collection.clone() },
            Event::Indexed { collection: collection.clone(), field: "asset".to_owned() },
            upserted(1),
            upserted(2),
        ]
    );
    // Another process looks for itself, and finds everything there.
    connect(&server).upsert(&records(3)).await.expect("upserts");
    assert_eq!(server.journal(), [upserted(3)]);
}

#[tokio::test]
async fn points_are_written_in_batches_that_are_waited_for() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(600)).await.expect("upserts");
    let written = server.journal().into_iter().filter_map(|event| match event {
        Event::Upserted { points, wait, .. } => Some((points, wait)),
        _ => None,
    });
    assert_eq!(written.collect::<Vec<_>>(), [(256, true), (256, true), (88, true)]);
    assert_eq!(index.count(&space()).await.expect("counts"), 600);
    index.prune(&space(), &[asset(1)], &[]).await.expect("prunes");
    assert_eq!(
        server.journal(),
        [Event::Deleted { collection: COLLECTION.to_owned(), named: 1, wait: true }]
    );
}

#[tokio::test]
async fn an_outage_ends_without_a_new_index() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(5)).await.expect("upserts");
    assert_eq!(nearest(&index, 2, None).await, [asset(0), asset(1)]);
    for outage in 0..3 {
        server.stop().await;
        for _ in 0..2 {
            assert_unavailable(index.ping().await);
            assert_unavailable(index.upsert(&records(6)).await);
            assert_unavailable(index.search(&space(), &[1.0, 0.0, 0.0], 2, None).await);
            assert_unavailable(index.prune(&space(), &[asset(0)], &[]).await);
            assert_unavailable(index.count(&space()).await);
            assert_unavailable(index.spaces().await);
        }
        server.resume();
        // The very first call after the outage, whichever it is, is answered.
        match outage {
            0 => assert_eq!(nearest(&index, 2, None).await, [asset(0), asset(1)]),
            1 => index.upsert(&records(6)).await.expect("upserts"),
            _ => index.ping().await.expect("is back"),
        }
        index.upsert(&records(7)).await.expect("upserts");
        assert_eq!(index.count(&space()).await.expect("counts"), 7);
    }
    // An outage that nobody noticed.
    server.stop().await;
    server.resume();
    assert_eq!(nearest(&index, 2, None).await, [asset(0), asset(1)]);
}

#[tokio::test]
async fn a_server_that_comes_back_empty_gets_its_collections_again() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(5)).await.expect("upserts");
    server.journal();
    server.wipe();
    assert!(nearest(&index, 2, None).await.is_empty());
    assert_eq!(index.count(&space()).await.expect("counts"), 0);
    index.upsert(&records(3)).await.expect("upserts");
    server.wipe();
    index.upsert(&records(4)).await.expect("upserts");
    assert_eq!(nearest(&index, 1, None).await, [asset(0)]);
    let made = server.journal().into_iter().filter(|event| !matches!(event, Event::Searched { .. }));
    let round = |points| {
        let collection = COLLECTION.to_owned();
        [
            Event::Created { collection: collection.clone() },
            Event::Indexed { collection: collection.clone(), field: "asset".to_owned() },
            Event::Upserted { collection, points, wait: true },
        ]
    };
    assert_eq!(made.collect::<Vec<_>>(), [round(3), round(4)].concat());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = QdrantServer::start();
    let timeout = Duration::from_millis(300);
    let options = QdrantOptions { timeout, connect_timeout: timeout, ..QdrantOptions::new(server.url()) };
    let index = QdrantIndex::connect(options).expect("the options are right");
    index.upsert(&records(5)).await.expect("upserts");
    server.hang(true);
    let start = Instant::now();
    assert_unavailable(index.ping().await);
    assert_unavailable(index.upsert(&records(1)).await);
    assert_unavailable(index.search(&space(), &[1.0, 0.0, 0.0], 2, None).await);
    assert_unavailable(index.prune(&space(), &[asset(0)], &[]).await);
    assert_unavailable(index.count(&space()).await);
    // Each was given its time and not much more.
    assert!(start.elapsed() < timeout * 5 + Duration::from_secs(5), "{:?}", start.elapsed());
    server.hang(false);
    index.ping().await.expect("answers again");
    assert_eq!(nearest(&index, 2, None).await, [asset(0), asset(1)]);
}

#[tokio::test]
async fn calls_that_are_refused_for_now_succeed_later() {
    let server = QdrantServer::start();
    let index = connect(&server);
    server.refuse(usize::MAX);
    assert_unavailable(index.upsert(&records(2)).await);
    server.refuse(0);
    index.upsert(&records(2)).await.expect("upserts");
    server.refuse(usize::MAX);
    assert_unavailable(index.upsert(&records(3)).await);
    assert_unavailable(index.search(&space(), &[1.0, 0.0, 0.0], 2, None).await);
    server.refuse(0);
    index.upsert(&records(3)).await.expect("upserts");
    assert_eq!(nearest(&index, 9, None).await.len(), 3);
}

#[tokio::test]
async fn credentials_are_shown_nowhere() {
    let server = QdrantServer::start();
    server.require_key("s3cret/right");
    let address = server.url().replace("http://", "");
    let wrong = QdrantOptions::new(format!("http://someone:s3cret%2Fwrong@{address}"));
    let index = QdrantIndex::connect(wrong.clone()).expect("the options are right");
    let text = format!("{wrong:?} {index:?}");
    assert!(text.contains(&address) && !text.contains("s3cret") && !text.contains("someone"), "{text}");
    let refused = [
        index.ping().await.expect_err("is refused"),
        index.upsert(&records(1)).await.expect_err("is refused"),
        index.search(&space(), &[1.0], 1, None).await.expect_err("is refused"),
        index.prune(&space(), &[asset(1)], &[]).await.expect_err("is refused"),
        index.count(&space()).await.expect_err("is refused"),
    ];
    for error in &refused {
        let text = shown(error);
        assert!(text.contains("Invalid API key") && !text.contains("s3cret"), "{text}");
    }
    let right = [
        QdrantOptions::new(format!("http://:s3cret%2Fright@{address}")),
        QdrantOptions { api_key: Some("s3cret/right".to_owned()), ..QdrantOptions::new(server.url()) },
        QdrantOptions { api_key: Some("s3cret/right".to_owned()), ..wrong },
    ];
    for options in right {
        QdrantIndex::connect(options).expect("the options are right").ping().await.expect("is let in");
    }
    // An error of the connection itself names the place, and only the place.
    server.stop().await;
    let text = shown(&index.ping().await.expect_err("is away"));
    assert!(text.contains(&address) && !text.contains("s3cret") && !text.contains("someone"), "{text}");
    for url in ["s3cret", "amqp://:s3cret@host", "http://:s3cret@", "http://:s3cret@host/s3cret"] {
        let error = QdrantIndex::connect(QdrantOptions::new(url)).expect_err("is no such URL");
        assert!(!shown(&error).contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn two_processes_may_create_a_collection_at_once() {
    let server = QdrantServer::start();
    server.gather("create", 2);
    let (one, two) = (connect(&server), connect(&server));
    let (first, second) = ([record(1)], [record(2)]);
    let (first, second) = tokio::join!(one.upsert(&first), two.upsert(&second));
    first.expect("upserts");
    second.expect("upserts");
    assert_eq!(one.count(&space()).await.expect("counts"), 2);
    let journal = server.journal();
    assert_eq!(journal.iter().filter(|event| matches!(event, Event::Created { .. })).count(), 1);
    let place = |what: fn(&Event) -> bool| journal.iter().position(what).expect("happened");
    let indexed = place(|event| matches!(event, Event::Indexed { .. }));
    assert!(indexed < place(|event| matches!(event, Event::Upserted { .. })), "{journal:?}");
}

#[tokio::test]
async fn filters_are_pushed_down_in_parts_of_bounded_size() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(6000)).await.expect("upserts");
    server.journal();
    let searched = || -> Vec<(bool, usize)> {
        let searches = server.journal().into_iter().filter_map(|event| match event {
            Event::Searched { exact, named, .. } => Some((exact, named)),
            _ => None,
        });
        searches.collect()
    };
    // A small set goes to the server as it is, and is compared one by one.
    let only = [70, 80, 90].map(asset).into();
    assert_eq!(nearest(&index, 2, Some(&only)).await, [70, 80].map(asset));
    assert_eq!(searched(), [(true, 3)]);
    // A large one that holds the neighborhood is not needed there: everything is compared.
    let only = (1..6000).map(asset).collect();
    assert_eq!(nearest(&index, 3, Some(&only)).await, [1, 2, 3].map(asset));
    assert_eq!(searched(), [(true, 0)]);
    // A large one that does not is sent in parts.
    let only = (1000..6000).map(asset).collect();
    assert_eq!(nearest(&index, 3, Some(&only)).await, [1000, 1001, 1002].map(asset));
    let mut parts = searched();
    parts.sort_unstable();
    assert_eq!(parts, [(true, 0), (true, 904), (true, 4096)]);
    // Without a filter the server may use its graph.
    assert_eq!(nearest(&index, 2, None).await, [0, 1].map(asset));
    assert_eq!(searched(), [(false, 0)]);
}

#[tokio::test]
async fn a_graph_that_finds_too_little_is_not_trusted() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(5000)).await.expect("upserts");
    server.graph_finds_at_most(4);
    assert_eq!(nearest(&index, 9, None).await, (0..9).map(asset).collect::<Vec<_>>());
    let only: HashSet<AssetId> = (8..5000).map(asset).collect();
    assert_eq!(nearest(&index, 9, Some(&only)).await, (8..17).map(asset).collect::<Vec<_>>());
}

#[tokio::test]
async fn vectors_of_the_wrong_length_leave_everything_as_it_is() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(1)).await.expect("upserts");
    let other = VectorSpace::from_name("face/test@1");
    let good = VectorRecord::new(asset(1), other.clone(), None, vec![1.0; 3]);
    let wrong = VectorRecord::new(asset(2), space(), None, vec![1.0; 5]);
    for index in [&index, &connect(&server)] {
        let error = index.upsert(&[good.clone(), record(3), wrong.clone()]).await.expect_err("is refused");
        assert!(matches!(error, IndexError::Dimensions { expected: 3, got: 5, .. }), "{error:?}");
        assert_eq!(index.count(&space()).await.expect("counts"), 1);
        assert_eq!(index.count(&other).await.expect("counts"), 0);
    }
}

#[tokio::test]
async fn spaces_are_listed_and_dropped_and_others_left_alone() {
    let server = QdrantServer::start();
    let index = connect(&server);
    let neighbor = QdrantOptions { prefix: "docent-two".to_owned(), ..QdrantOptions::new(server.url()) };
    let neighbor = QdrantIndex::connect(neighbor).expect("the options are right");
    let (old, new) = (space(), VectorSpace::from_name("picture/test@2"));
    let newer = VectorRecord::new(asset(1), new.clone(), None, vec![1.0; 8]);
    index.upsert(&[record(1), record(2), newer]).await.expect("upserts");
    neighbor.upsert(&records(3)).await.expect("upserts");
    assert_eq!(index.spaces().await.expect("lists"), [old.clone(), new.clone()]);
    assert_eq!(neighbor.spaces().await.expect("lists"), std::slice::from_ref(&old));
    index.prune(&space(), &[asset(1)], &[]).await.expect("prunes");
    assert_eq!(neighbor.count(&old).await.expect("counts"), 3);
    index.drop_space(&old).await.expect("drops");
    index.drop_space(&old).await.expect("is dropped already");
    assert_eq!(index.spaces().await.expect("lists"), [new]);
    assert!(nearest(&index, 5, None).await.is_empty());
    assert_eq!(server.collections(), ["docent-two_picture_2ftest_401", "docent_picture_2ftest_402"]);
    // Another process that still knew it makes a new one.
    neighbor.drop_space(&old).await.expect("drops");
    let other = QdrantOptions { prefix: "docent-two".to_owned(), ..QdrantOptions::new(server.url()) };
    let other = QdrantIndex::connect(other).expect("the options are right");
    other.upsert(&records(2)).await.expect("upserts");
    assert_eq!(neighbor.count(&old).await.expect("counts"), 2);
}

#[tokio::test]
async fn a_filtered_set_is_exact_however_large_where_the_graph_misses_some() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(6000)).await.expect("upserts");
    server.graph_beyond(0);
    assert_ne!(
        nearest(&index, 108, None).await,
        (0..108).map(asset).collect::<Vec<_>>(),
        "the graph misses some"
    );
    let most = (0..6000).filter(|n| n % 10 != 0);
    let few = (0..6000).filter(|n| n % 2 == 0);
    let far = (1000..6000).filter(|n| n % 10 != 0);
    for set in [most.collect::<Vec<_>>(), few.collect(), far.collect()] {
        let only: HashSet<AssetId> = set.iter().copied().map(asset).collect();
        let expected: Vec<AssetId> = set.iter().take(108).copied().map(asset).collect();
        assert_eq!(nearest(&index, 108, Some(&only)).await, expected, "of {}", set.len());
    }
}
