//! What the index says when the server, the collection or the address is not what it should be.

use std::collections::HashSet;
use std::time::Duration;

use docent::vectors::{IndexError, QdrantIndex, QdrantOptions, VectorIndex};
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
use docent_tests::conformance::vectors::asset;
use docent_tests::qdrant::{Limits, QdrantServer};
use qdrant_client::qdrant::{
    CreateCollectionBuilder, Datatype, Distance, MultiVectorComparator, MultiVectorConfigBuilder,
    VectorParamsBuilder,
};

use super::{COLLECTION, assert_unavailable, connect, nearest, record, records, shown, space};

/// That `answer` says that waiting does not help, and why.
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, IndexError>, why: &str) {
    let error = answer.expect_err("is refused");
    assert!(matches!(error, IndexError::Refused { .. }) && !error.may_pass(), "{error:?}");
    assert!(error.sentence().contains(why), "{}", error.sentence());
}

/// Makes the collection as somebody else would, in place of the one that is there.
async fn make(server: &QdrantServer, params: VectorParamsBuilder) {
    server.remove(COLLECTION);
    let client =
        qdrant_client::Qdrant::from_url(&server.url()).skip_compatibility_check().build().expect("a URL");
    let create = CreateCollectionBuilder::new(COLLECTION).vectors_config(params);
    client.create_collection(create).await.expect("creates");
}

#[tokio::test]
async fn a_collection_that_docent_cannot_use_is_named() {
    let server = QdrantServer::start();
    make(&server, VectorParamsBuilder::new(3, Distance::Cosine)).await;
    let error = connect(&server).upsert(&records(1)).await.expect_err("is refused");
    assert!(shown(&error).contains(COLLECTION), "{error:?}");
    assert_refused(connect(&server).search(&space(), &[1.0, 0.0, 0.0], 1, None).await, COLLECTION);
}

#[tokio::test]
async fn a_collection_that_became_another_is_noticed() {
    // At the next look, or by what the server answers in between.
    for trust in [Duration::ZERO, Duration::from_secs(3600)] {
        let server = QdrantServer::start();
        let options = QdrantOptions { trust, ..QdrantOptions::new(server.url()) };
        let index = QdrantIndex::connect(options).expect("the options are right");
        index.upsert(&records(5)).await.expect("upserts");
        assert_eq!(nearest(&index, 1, None).await, [asset(0)]);
        make(&server, VectorParamsBuilder::new(5, Distance::Dot)).await;
        let error = index.search(&space(), &[1.0, 0.0, 0.0], 1, None).await.expect_err("another size");
        assert!(matches!(error, IndexError::Dimensions { expected: 5, got: 3, .. }), "{error:?}");
        assert!(index.search(&space(), &[1.0; 5], 1, None).await.expect("is the size now").is_empty());
        assert_refused(
            index.upsert(&records(5)).await,
            "docent_picture_2ftest_401 takes vectors of 5 values",
        );
        server.remove(COLLECTION);
        index.upsert(&records(5)).await.expect("makes a new one");
        assert_eq!(nearest(&index, 1, None).await, [asset(0)]);
        make(&server, VectorParamsBuilder::new(5, Distance::Dot)).await;
        assert_refused(index.upsert(&records(5)).await, "takes vectors of 5 values");
    }
}

#[tokio::test]
async fn collections_that_would_give_other_scores_are_refused() {
    let server = QdrantServer::start();
    let options = QdrantOptions { trust: Duration::ZERO, ..QdrantOptions::new(server.url()) };
    let index = QdrantIndex::connect(options).expect("the options are right");
    index.upsert(&records(5)).await.expect("upserts");
    let several = MultiVectorConfigBuilder::new(MultiVectorComparator::MaxSim);
    for (params, why) in [
        (VectorParamsBuilder::new(3, Distance::Dot).datatype(Datatype::Uint8), "keeps vectors as Uint8"),
        (VectorParamsBuilder::new(3, Distance::Dot).datatype(Datatype::Float16), "keeps vectors as Float16"),
        (VectorParamsBuilder::new(3, Distance::Dot).multivector_config(several), "several vectors"),
        (VectorParamsBuilder::new(3, Distance::Cosine), "compares by Cosine"),
    ] {
        make(&server, params).await;
        assert_refused(index.search(&space(), &[1.0, 0.0, 0.0], 1, None).await, why);
        assert_refused(index.upsert(&records(1)).await, why);
    }
    make(&server, VectorParamsBuilder::new(3, Distance::Dot).datatype(Datatype::Float32)).await;
    index.upsert(&records(1)).await.expect("is what docent makes itself");
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again() {
    let server = QdrantServer::start();
    let index = connect(&server);
    server.stumble(2);
    index.upsert(&records(5)).await.expect("upserts");
    server.stumble(3);
    assert_eq!(nearest(&index, 1, None).await, [asset(0)]);
    server.stumble(3);
    assert_eq!(index.count(&space()).await.expect("counts"), 5);
    server.stumble(3);
    index.prune(&space(), &[asset(0)], &[]).await.expect("prunes");
    server.stumble(usize::MAX);
    assert_unavailable(index.search(&space(), &[1.0, 0.0, 0.0], 1, None).await);
    server.stumble(3);
    index.drop_space(&space()).await.expect("drops");
    assert_eq!(server.collections(), [""; 0]);
}

#[tokio::test]
async fn what_strict_mode_forbids_is_told() {
    let server = QdrantServer::start();
    let index = connect(&server);
    index.upsert(&records(5)).await.expect("upserts");
    server.limit(Limits { upsert: Some(10), ..Limits::default() });
    assert_refused(index.upsert(&records(20)).await, "Limit exceeded 20 > 10");
    index.upsert(&records(9)).await.expect("upserts");
    let only: HashSet<AssetId> = (0..4).map(asset).collect();
    for limits in [
        Limits { query: Some(2), ..Limits::default() },
        Limits { condition: Some(3), ..Limits::default() },
        Limits { exact: Some(false), ..Limits::default() },
    ] {
        server.limit(limits);
        let found = index.search(&space(), &[1.0, 0.0, 0.0], 3, Some(&only)).await;
        assert_refused(found, "Limit exceeded");
    }
}

#[tokio::test]
async fn names_that_are_too_long_are_told() {
    let server = QdrantServer::start();
    let index = connect(&server);
    let long = VectorSpace::from_name(format!("picture/{}@1", "a".repeat(300)));
    let record = VectorRecord::new(asset(1), long.clone(), None, vec![1.0; 3]);
    assert_refused(index.upsert(&[record]).await, "Qdrant takes 255");
    assert_refused(index.search(&long, &[1.0; 3], 1, None).await, "Qdrant takes 255");
}

#[tokio::test]
async fn a_vector_that_holds_no_numbers_fails_alone() {
    let server = QdrantServer::start();
    let index = connect(&server);
    let odd = VectorRecord { values: vec![f32::NAN, 0.0, 1.0], ..record(2) };
    let error = index.upsert(&[record(1), odd]).await.expect_err("cannot be stored");
    assert!(matches!(&error, IndexError::Unfit { reason, .. } if reason.contains("NaN")), "{error:?}");
    assert_eq!(index.count(&space()).await.expect("counts"), 0);
}

#[tokio::test]
async fn a_wrong_key_is_found_out_without_any_work() {
    let server = QdrantServer::start();
    server.require_key("right");
    let key = |key: &str| {
        let api_key = Some(key.to_owned());
        QdrantIndex::connect(QdrantOptions { api_key, ..QdrantOptions::new(server.url()) })
    };
    key("right").expect("the options are right").ping().await.expect("is let in");
    let index = key("wrong").expect("the options are right");
    assert_refused(index.ping().await, "Invalid API key");
    assert_refused(index.upsert(&records(1)).await, "Invalid API key");
    assert_refused(connect(&server).ping().await, "Invalid API key");
}

/// A server that answers everything with `answer` and closes.
fn answering(answer: &'static [u8]) -> (String, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("is bound").to_string();
    let serving = listener.try_clone().expect("a second handle");
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        while let Ok((mut stream, _)) = serving.accept() {
            // As a server of HTTP/1 takes the first lines of HTTP/2.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        }
    });
    (address, listener)
}

#[tokio::test]
async fn addresses_that_speak_something_else_are_told_in_words() {
    let ping = async |url: String| {
        QdrantIndex::connect(QdrantOptions::new(url)).expect("the options are right").ping().await
    };
    let (rest, _listener) = answering(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    assert_refused(ping(format!("http://{rest}")).await, "give the gRPC port, 6334 as a rule");
    assert_refused(ping(format!("https://{rest}")).await, "give the gRPC port, 6334 as a rule");
    // A proxy in front of a server that is away.
    let (proxy, _listener) = answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    assert_unavailable(ping(format!("http://{proxy}")).await);
    let plain = QdrantServer::start();
    let secure = QdrantServer::start_with_tls();
    assert_refused(ping(plain.url().replace("http:", "https:")).await, "the URL has to begin with http://");
    assert_refused(ping(secure.url().replace("https:", "http:")).await, "the URL has to begin with https://");
    assert_refused(ping(secure.url()).await, "SSL_CERT_FILE");
    let url = secure.url().replace("https:", "http:");
    let index = QdrantIndex::connect(QdrantOptions::new(url)).expect("the options are right");
    assert_refused(index.upsert(&records(1)).await, "https://");
}

#[test]
fn the_client_and_the_pinned_server_are_neighbors() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("is there");
    let version = |text: &str, before: &str| -> (u32, u32) {
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        let mut parts = rest.split('.').map(|part| part.parse().expect("a number"));
        (parts.next().expect("major"), parts.next().expect("minor"))
    };
    let client = version(&read("Cargo.lock"), "name = \"qdrant-client\"\nversion = \"");
    let server = version(&read("docker/compose.yaml"), "image: qdrant/qdrant:v");
    assert_eq!(client, docent::vectors::CLIENT_VERSION);
    // The rule of docker/README.md.
    assert!(client.0 == server.0 && client.1.abs_diff(server.1) <= 1, "{client:?}, {server:?}");
}
