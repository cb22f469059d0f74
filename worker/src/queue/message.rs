//! The message that carries a job through a broker: JSON, versioned, so that other programs can publish it too.
//!
//! Version 1 has two forms. Both say `"version": 1`.
//!
//! - A place to look at, which the ledger need not know: `{"version": 1, "uri": "file:///photos/a.jpg", "owner":
//!   "press office", "correlation_id": "4711"}`. This is what other programs publish; `owner` and `correlation_id` may be
//!   left out.
//! - A job that the ledger leased: `{"version": 1, "asset": "<32 hex digits>", "uris": [..], "analyzers": [..],
//!   "alone": false}`. This is what the feeder publishes; `uris`, `analyzers` and `alone` may be left out.
//!
//! Libraries write what they have: a field that is `null` is left out, `1.0` is the number 1, and a byte order mark before the
//! object means nothing. What a `uri` may look like is for the source of the assets to say.
//!
//! The lane is that of the queue a message lies in. Fields that are not named here are ignored, so that a publisher may
//! add its own and a newer one of version 1 is understood. Whatever changes the meaning of these fields gets another
//! version, and an unknown version is refused: its meaning cannot be guessed.

use docent_pipelines::{AnalyzerId, AssetId, Owner};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{AnalyzeAsset, Job, Lane, Submission};

/// The version that [`encode`] writes, and the only one that [`decode`] understands.
pub const VERSION: u64 = 1;
/// Bytes of a message.
pub const MAX_BODY: usize = 1 << 20;
/// Bytes of one URI: the longest path of a file with every byte percent-encoded, and room for a scheme and a host.
pub const MAX_URI: usize = 16 << 10;
/// Places of one asset.
pub const MAX_URIS: usize = 1000;
/// Bytes of what a publisher calls its submission: as many as AMQP's own property for it has. A longer one is ignored.
pub const MAX_CORRELATION: usize = 255;
/// Names in `analyzers`.
const MAX_ANALYZERS: usize = 100;
/// What a job takes in JSON besides its places, at most.
const FRAME: usize = 4 << 10;

/// Why a message is none of ours.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Over the limit.
    #[error("the message has {bytes} bytes, more than {MAX_BODY}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not JSON.
    #[error("the message is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON of another kind.
    #[error("the message is not a JSON object")]
    NotAnObject,
    /// It does not say what it is.
    #[error("the message has no 'version', or one that is not a number")]
    NoVersion,
    /// It comes from the future.
    #[error("version {0} of the message is unknown; this docent understands version {VERSION}")]
    UnknownVersion(u64),
    /// It names no job.
    #[error("the message has neither 'uri' nor 'asset'")]
    NoJob,
    /// It names two.
    #[error("the message has both 'uri' and 'asset'; one of them is wanted")]
    TwoJobs,
    /// A field has the wrong value.
    #[error("'{field}' {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

#[derive(Serialize)]
struct Wire<'a> {
    version: u64,
    asset: &'a AssetId,
    uris: Vec<&'a str>,
    analyzers: &'a [AnalyzerId],
    alone: bool,
}

#[derive(Serialize)]
struct WireSubmission<'a> {
    version: u64,
    uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a Owner>,
}

/// The message for `job`. Its lane is not in it. A place that a receiver would refuse is left out, and so are those
/// beyond the limits: all of them hold the same bytes.
pub fn encode(job: &AnalyzeAsset) -> Vec<u8> {
    let mut room = MAX_BODY - FRAME;
    let uris = job.uris.iter().map(String::as_str).filter(|uri| problem_of_uri(uri).is_none());
    let uris = uris.take(MAX_URIS).take_while(|uri| {
        // In quotes, with a comma; at worst every character is escaped.
        let needed = uri.len() * 2 + 3;
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    });
    let wire = Wire {
        version: VERSION,
        asset: &job.asset,
        uris: uris.collect(),
        analyzers: &job.analyzers,
        alone: job.alone,
    };
    serde_json::to_vec(&wire).expect("strings and numbers are JSON")
}

/// The message that submits a place.
pub fn encode_submission(uri: &str, owner: Option<&Owner>) -> Vec<u8> {
    serde_json::to_vec(&WireSubmission { version: VERSION, uri, owner })
        .expect("strings and numbers are JSON")
}

/// The job of a message that came from `lane`.
pub fn decode(body: &[u8], lane: Lane) -> Result<Job, Malformed> {
    let fields = fields_of(body)?;
    match fields.get("version").and_then(whole) {
        Some(VERSION) => {}
        Some(version) => return Err(Malformed::UnknownVersion(version)),
        None => return Err(Malformed::NoVersion),
    }
    match (fields.get("uri"), fields.get("asset")) {
        (None, None) => Err(Malformed::NoJob),
        (Some(_), Some(_)) => Err(Malformed::TwoJobs),
        (Some(uri), None) => {
            let uri = uri_of(uri, "uri")?;
            let owner = fields.get("owner").map(owner_of).transpose()?;
            let correlation = correlation_of(&fields);
            Ok(Job::Submit(Submission { uri, owner, lane, alone: false, correlation, attempts: 0 }))
        }
        (None, Some(asset)) => {
            let wrong = Malformed::Field { field: "asset", problem: "is not 32 lower-case hex digits" };
            let asset = asset.as_str().and_then(|asset| AssetId::try_from(asset.to_owned()).ok());
            let asset = asset.ok_or(wrong)?;
            let uris = list(&fields, "uris", MAX_URIS)?.iter().map(|uri| uri_of(uri, "uris"));
            let uris = uris.collect::<Result<_, _>>()?;
            let analyzers = list(&fields, "analyzers", MAX_ANALYZERS)?.iter().map(analyzer_of);
            let analyzers = analyzers.collect::<Result<_, _>>()?;
            let alone = match fields.get("alone") {
                None => false,
                Some(Value::Bool(alone)) => *alone,
                Some(_) => {
                    return Err(Malformed::Field { field: "alone", problem: "is neither true nor false" });
                }
            };
            Ok(Job::Analyze(AnalyzeAsset { asset, uris, analyzers, lane, alone }))
        }
    }
}

/// What a message that came to nothing says of the submission that it may have been.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Its place, as it was written.
    pub uri: Option<String>,
    /// Its owner, as it was written.
    pub owner: Option<String>,
    /// What its publisher calls it.
    pub correlation: Option<String>,
}

/// What `body` says of itself, even where something is wrong with it; `None` for a job of the ledger.
pub(super) fn told(body: &[u8]) -> Option<Told> {
    let Ok(fields) = fields_of(body) else { return Some(Told::default()) };
    let text =
        |field| fields.get(field).and_then(Value::as_str).map(|text| text.chars().take(MAX_URI).collect());
    let is_job = fields.contains_key("asset") && !fields.contains_key("uri");
    (!is_job).then(|| Told { uri: text("uri"), owner: text("owner"), correlation: correlation_of(&fields) })
}

/// The fields that have a value.
fn fields_of(body: &[u8]) -> Result<Map<String, Value>, Malformed> {
    if body.len() > MAX_BODY {
        return Err(Malformed::TooLarge { bytes: body.len() });
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Value::Object(mut fields) = serde_json::from_slice(body)? else { return Err(Malformed::NotAnObject) };
    fields.retain(|_, value| !value.is_null());
    Ok(fields)
}

/// A whole number, however it is written.
fn whole(value: &Value) -> Option<u64> {
    let float = || value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..1e9).contains(float));
    value.as_u64().or_else(|| float().map(|float| float as u64))
}

/// A publisher may have a field of this name for other things: what cannot be one is none.
fn correlation_of(fields: &Map<String, Value>) -> Option<String> {
    match fields.get("correlation_id")? {
        Value::String(text) => correlation(text),
        Value::Number(number) => correlation(&number.to_string()),
        _ => None,
    }
}

/// What a publisher calls its submission, if it can be that.
pub(super) fn correlation(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= MAX_CORRELATION && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

fn list<'a>(
    fields: &'a Map<String, Value>,
    field: &'static str,
    most: usize,
) -> Result<&'a [Value], Malformed> {
    match fields.get(field) {
        None => Ok(&[]),
        Some(Value::Array(values)) if values.len() <= most => Ok(values),
        Some(Value::Array(_)) => Err(Malformed::Field { field, problem: "has too many entries" }),
        Some(_) => Err(Malformed::Field { field, problem: "is not a list" }),
    }
}

fn uri_of(value: &Value, field: &'static str) -> Result<String, Malformed> {
    let Value::String(uri) = value else { return Err(Malformed::Field { field, problem: "is not a text" }) };
    match problem_of_uri(uri) {
        Some(problem) => Err(Malformed::Field { field, problem }),
        None => Ok(uri.clone()),
    }
}

fn owner_of(value: &Value) -> Result<Owner, Malformed> {
    let wrong = |problem| Malformed::Field { field: "owner", problem };
    let Value::String(owner) = value else { return Err(wrong("is not a text")) };
    Owner::try_from(owner.clone()).map_err(wrong)
}

fn problem_of_uri(uri: &str) -> Option<&'static str> {
    if uri.is_empty() {
        Some("is empty")
    } else if uri.len() > MAX_URI {
        Some("is too long")
    } else if uri.contains(char::is_control) {
        Some("has a control character in it")
    } else {
        None
    }
}

fn analyzer_of(value: &Value) -> Result<AnalyzerId, Malformed> {
    serde_json::from_value(value.clone()).map_err(|_| Malformed::Field {
        field: "analyzers",
        problem: "names an analyzer that this docent does not have",
    })
}
