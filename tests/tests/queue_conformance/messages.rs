//! The message on the broker: what was once published is understood forever, and nothing can hurt.

use std::path::Path;

use docent::queue::message::{MAX_BODY, MAX_URI, MAX_URIS, decode, encode, encode_submission};
use docent::queue::{AnalyzeAsset, Job, Lane, Submission};
use docent_pipelines::{AnalyzerId, AssetId, Owner};
use proptest::prelude::*;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/messages");
    std::fs::read(folder.join(name)).expect("a fixture")
}

fn asset(hex: &str) -> AssetId {
    AssetId::try_from(hex.to_owned()).expect("an id")
}

fn owner(name: &str) -> Option<Owner> {
    Some(Owner::try_from(name.to_owned()).expect("a name"))
}

#[test]
fn old_messages_are_understood_forever() {
    let owned = |uri: &str, owner, lane| {
        Job::Submit(Submission {
            uri: uri.to_owned(),
            owner,
            lane,
            alone: false,
            correlation: None,
            attempts: 0,
        })
    };
    let submission = |uri, lane| owned(uri, None, lane);
    let expected = [
        ("v1-submission.json", submission("file:///photos/a.jpg", Lane::Interactive)),
        (
            "v1-submission-with-more.json",
            submission("file:///photos/Stra%C3%9Fe%20%231.jpg", Lane::Interactive),
        ),
        (
            "v1-submission-with-owner.json",
            owned("file:///photos/b.jpg", owner("Stadtarchiv Gießen"), Lane::Interactive),
        ),
        (
            "v1-submission-with-correlation.json",
            Job::Submit(Submission {
                uri: "file:///photos/c.jpg".to_owned(),
                owner: None,
                lane: Lane::Interactive,
                alone: false,
                correlation: Some("4711".to_owned()),
                attempts: 0,
            }),
        ),
        (
            "v1-asset.json",
            Job::Analyze(AnalyzeAsset {
                asset: asset("00112233445566778899aabbccddeeff"),
                uris: vec!["file:///photos/a.jpg".to_owned(), "file:///copies/a.jpg".to_owned()],
                analyzers: vec![
                    AnalyzerId::Tags,
                    AnalyzerId::Objects,
                    AnalyzerId::Faces,
                    AnalyzerId::Text,
                    AnalyzerId::Caption,
                    AnalyzerId::Embedding,
                    AnalyzerId::Decode,
                ],
                lane: Lane::Interactive,
                alone: true,
            }),
        ),
        (
            "v1-asset-bare.json",
            Job::Analyze(AnalyzeAsset {
                asset: asset("ffeeddccbbaa99887766554433221100"),
                uris: Vec::new(),
                analyzers: Vec::new(),
                lane: Lane::Interactive,
                alone: false,
            }),
        ),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/messages");
    assert_eq!(std::fs::read_dir(folder).expect("fixtures").count(), expected.len(), "each fixture is read");
    for (name, job) in expected {
        assert_eq!(decode(&fixture(name), Lane::Interactive).expect(name), job, "{name}");
    }
}

#[test]
fn what_foreign_libraries_write_is_understood() {
    let plain = decode(br#"{"version":1,"uri":"file:///a.jpg"}"#, Lane::Backfill).expect("is understood");
    let same = [
        r#"{"version":1,"uri":"file:///a.jpg","owner":null}"#,
        r#"{"version":1.0,"uri":"file:///a.jpg"}"#,
        r#"{"version":1e0,"uri":"file:///a.jpg","asset":null,"uris":null,"analyzers":null,"alone":null}"#,
        "\u{feff}{\"version\":1,\"uri\":\"file:///a.jpg\"}",
        r#"{"version":1,"uri":"file:///a.jpg","correlation_id":null}"#,
        // A field of that name that is something else is the publisher's own.
        r#"{"version":1,"uri":"file:///a.jpg","correlation_id":{"id":7}}"#,
        r#"{"version":1,"uri":"file:///a.jpg","correlation_id":""}"#,
    ];
    for body in same {
        assert_eq!(decode(body.as_bytes(), Lane::Backfill).expect(body), plain, "{body}");
    }
    let bare = format!(r#"{{"version":1,"asset":"{}"}}"#, "0".repeat(32));
    let nulls =
        format!(r#"{{"version":1,"asset":"{}","uris":null,"analyzers":null,"alone":null}}"#, "0".repeat(32));
    let decoded = |body: &str| decode(body.as_bytes(), Lane::Backfill).expect("is understood");
    assert_eq!(decoded(&nulls), decoded(&bare));
    // What they mean is for the source of the assets to say.
    for uri in ["file:/a.jpg", "file://localhost/a.jpg", "FILE:///a.jpg", "file:///Stra%C3%9Fe"] {
        let Job::Submit(submission) = decoded(&format!(r#"{{"version":1,"uri":"{uri}"}}"#)) else {
            panic!("{uri}")
        };
        assert_eq!(submission.uri, uri);
    }
    let Job::Submit(numbered) = decoded(r#"{"version":1,"uri":"a","correlation_id":4711}"#) else {
        panic!("is a submission")
    };
    assert_eq!(numbered.correlation.as_deref(), Some("4711"));
}

#[test]
fn whatever_is_wrong_is_said() {
    let uris =
        format!(r#"{{"version":1,"asset":"{}","uris":[{}"a"]}}"#, "0".repeat(32), r#""a","#.repeat(MAX_URIS));
    let long = format!(r#"{{"version":1,"uri":"{}"}}"#, "a".repeat(MAX_URI + 1));
    let asset = |rest: &str| format!(r#"{{"version":1,"asset":"{}",{rest}}}"#, "0".repeat(32));
    let cases = [
        ("", "not JSON"),
        ("file:///a.jpg", "not JSON"),
        (r#"{"version":1,"uri":"a"} {}"#, "not JSON"),
        (&"[".repeat(10_000), "not JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "no 'version'"),
        (r#"{"version":"1","uri":"a"}"#, "no 'version'"),
        (r#"{"version":-1,"uri":"a"}"#, "no 'version'"),
        (r#"{"version":1.5,"uri":"a"}"#, "no 'version'"),
        (r#"{"version":2,"place":"a"}"#, "version 2 of the message is unknown"),
        (r#"{"version":0,"uri":"a"}"#, "version 0 of the message is unknown"),
        (r#"{"version":1}"#, "neither 'uri' nor 'asset'"),
        (r#"{"version":1,"uri":"a","asset":"b"}"#, "both 'uri' and 'asset'"),
        (r#"{"version":1,"uri":7}"#, "'uri' is not a text"),
        (r#"{"version":1,"uri":""}"#, "'uri' is empty"),
        (r#"{"version":1,"uri":"a\nb"}"#, "'uri' has a control character"),
        (&long, "'uri' is too long"),
        (r#"{"version":1,"uri":"a","owner":7}"#, "'owner' is not a text"),
        (r#"{"version":1,"uri":"a","owner":" "}"#, "'owner' is empty"),
        (r#"{"version":1,"asset":"0011"}"#, "'asset' is not 32"),
        (&asset(r#""uris":"a""#), "'uris' is not a list"),
        (&asset(r#""uris":[""]"#), "'uris' is empty"),
        (&uris, "'uris' has too many"),
        (&asset(r#""analyzers":["smell"]"#), "'analyzers' names an analyzer"),
        (&asset(r#""alone":"yes""#), "'alone' is neither"),
        (&" ".repeat(MAX_BODY + 1), "more than"),
    ];
    for (body, expected) in cases {
        let error = decode(body.as_bytes(), Lane::Backfill).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(error.len() < 200, "{error}");
    }
}

#[test]
fn a_job_with_too_many_places_is_published_with_some() {
    let job = AnalyzeAsset {
        asset: asset(&"0".repeat(32)),
        uris: (0..2 * MAX_URIS).map(|n| format!("file:///{n}/{}", "\"".repeat(2000))).collect(),
        analyzers: vec![AnalyzerId::Tags],
        lane: Lane::Backfill,
        alone: false,
    };
    let Ok(Job::Analyze(decoded)) = decode(&encode(&job), Lane::Backfill) else { panic!("is understood") };
    assert!(!decoded.uris.is_empty() && job.uris.starts_with(&decoded.uris));
}

fn places() -> impl Strategy<Value = String> {
    "[a-z]{1,5}://[^\\p{Cc}]{0,60}"
}

fn jobs() -> impl Strategy<Value = AnalyzeAsset> {
    let choices = AnalyzerId::CHOICES.to_vec();
    let analyzers = proptest::sample::subsequence(choices, 0..=AnalyzerId::CHOICES.len());
    let lane = prop_oneof![Just(Lane::Interactive), Just(Lane::Backfill)];
    ("[0-9a-f]{32}", proptest::collection::vec(places(), 0..20), analyzers, lane, any::<bool>()).prop_map(
        |(id, uris, analyzers, lane, alone)| AnalyzeAsset { asset: asset(&id), uris, analyzers, lane, alone },
    )
}

proptest! {
    #[test]
    fn jobs_survive_the_way(job in jobs()) {
        prop_assert_eq!(decode(&encode(&job), job.lane).expect("is understood"), Job::Analyze(job));
    }

    #[test]
    fn submissions_survive_the_way(uri in places(), name in proptest::option::of("[^\\p{Cc}\\s]{1,200}")) {
        let owner = name.and_then(|name| owner(&name));
        let submission = Submission {
            uri: uri.clone(),
            owner: owner.clone(),
            lane: Lane::Backfill,
            alone: false,
            correlation: None,
            attempts: 0,
        };
        prop_assert_eq!(
            decode(&encode_submission(&uri, owner.as_ref()), Lane::Backfill).expect("is understood"),
            Job::Submit(submission)
        );
    }

    #[test]
    fn no_bytes_can_hurt(body in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = decode(&body, Lane::Interactive);
    }

    #[test]
    fn no_damage_can_hurt(job in jobs(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut body = encode(&job);
        let at = at.index(body.len());
        body[at] = byte;
        let _ = decode(&body, Lane::Interactive);
    }
}
