//! The vocabulary as a file, in and out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use docent_pipelines::vocabulary::{self, Change, How, VocabularyError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::aside;
use crate::http::error::ErrorBody;
use crate::http::extract::{Body, Query};
use crate::http::{ApiError, AppState};
use crate::store::{Changed, Reviewer, TermChange};

/// Says what an exported file does not hold.
const LOST_HEADER: &str = "docent-lost";
/// Terms that an import names.
const NAMED: usize = 100;

/// A form of vocabulary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// SKOS in Turtle.
    Turtle,
    /// SKOS in RDF/XML.
    RdfXml,
    /// A keyword list of Lightroom or Photo Mechanic.
    Keywords,
    /// A table.
    Csv,
    /// docent's own form, which loses nothing.
    Json,
}

impl From<FileFormat> for vocabulary::Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Turtle => Self::Turtle,
            FileFormat::RdfXml => Self::RdfXml,
            FileFormat::Keywords => Self::Keywords,
            FileFormat::Csv => Self::Csv,
            FileFormat::Json => Self::Json,
        }
    }
}

impl FileFormat {
    fn media_type(self) -> &'static str {
        match self {
            Self::Turtle => "text/turtle",
            Self::RdfXml => "application/rdf+xml",
            Self::Keywords => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// How a file is taken.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportFile {
    /// Its form; what its content looks like where not given.
    format: Option<FileFormat>,
    /// Whether terms go that are not in the file.
    #[serde(default)]
    replace: bool,
    /// Whether to say only what would change.
    #[serde(default)]
    dry_run: bool,
    /// The vocabulary's revision that was seen: if it has another one, nothing is changed.
    revision: Option<i64>,
}

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportFile {
    /// Its form.
    #[param(inline)]
    format: FileFormat,
}

/// What came of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct Imported {
    /// The vocabulary's revision: after a change the new one.
    revision: i64,
    /// Whether nothing was changed, as asked for.
    dry_run: bool,
    /// Terms that are new.
    added: u64,
    /// Terms that are not as they were.
    changed: u64,
    /// Terms that are gone.
    removed: u64,
    /// What was left out or tolerated while the file was read, at most 100 remarks.
    noted: Vec<Remark>,
    /// How many more remarks there were.
    noted_more: u64,
    /// The first 100 terms that are new, not as they were, or gone.
    terms: Vec<ImportedTerm>,
}

/// Something that was left out or tolerated.
#[derive(Debug, Serialize, ToSchema)]
pub struct Remark {
    /// The line, from 1; 0 for the whole file.
    line: u64,
    /// What it was, and what docent made of it.
    text: String,
}

/// A term that an import is about.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportedTerm {
    /// `add`, `change` or `remove`.
    action: &'static str,
    /// Its name afterwards, or before it went.
    name: String,
    /// The name it had, if that was another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<String>,
}

fn unreadable(error: VocabularyError) -> ApiError {
    ApiError::Unprocessable { code: "unreadable", message: error.to_string() }
}

/// Takes a vocabulary file, or says what would change. It has at most 64 MiB.
#[utoipa::path(post, path = "/api/v1/vocabulary/import", tag = "vocabulary", params(ImportFile),
    request_body(content = String, content_type = "application/octet-stream", description = "The file"),
    responses(
        (status = 200, description = "What changed, or would change", body = Imported),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 409, description = "The vocabulary is not as it was seen", body = ErrorBody),
        (status = 422, description = "The file cannot be read, or the vocabulary would not be sound", body = ErrorBody),
    ),
)]
pub async fn import(
    State(state): State<AppState>,
    Query(query): Query<ImportFile>,
    by: Reviewer,
    Body(bytes): Body,
) -> Result<Json<Imported>, ApiError> {
    if bytes.is_empty() {
        let message = "the body is empty; it has to be the file".to_owned();
        return Err(ApiError::Unprocessable { code: "unreadable", message });
    }
    let known = state.seen(query.revision).await?;
    let seen = known.revision;
    let how = if query.replace { How::Replace } else { How::Merge };
    let format = query.format;
    let (changes, mut report) = aside(move || {
        let (changes, draft) = planned(&known, format, how, &bytes)?;
        let mut report = Imported {
            revision: seen,
            dry_run: query.dry_run,
            added: 0,
            changed: 0,
            removed: 0,
            noted: draft
                .noted
                .into_iter()
                .map(|noted| Remark { line: noted.line, text: noted.text })
                .collect(),
            noted_more: draft.noted_more,
            terms: changes.iter().take(NAMED).map(|change| named(&known, change)).collect(),
        };
        for change in &changes {
            *match change {
                Change::Add(_) => &mut report.added,
                Change::Update { .. } => &mut report.changed,
                Change::Remove(_) => &mut report.removed,
            } += 1;
        }
        Ok::<_, ApiError>((changes, report))
    })
    .await??;
    if !query.dry_run && !changes.is_empty() {
        let changes: Vec<TermChange> = changes.into_iter().map(TermChange::from).collect();
        let Changed { revision, added, changed, removed } = state.change_terms(&changes, seen, &by).await?;
        report = Imported { revision, added, changed, removed, ..report };
    }
    Ok(Json(report))
}

fn planned(
    known: &vocabulary::Vocabulary,
    format: Option<FileFormat>,
    how: How,
    bytes: &Bytes,
) -> Result<(Vec<Change>, vocabulary::Draft), ApiError> {
    let format = match format {
        Some(format) => format.into(),
        None => vocabulary::Format::guess("", bytes).map_err(unreadable)?,
    };
    let mut draft = vocabulary::read(format, bytes).map_err(unreadable)?;
    draft.leave_out_unknown(known.terms());
    let changes = vocabulary::plan(known.terms(), &draft, how).map_err(super::change::not_sound)?;
    Ok((changes, draft))
}

fn named(known: &vocabulary::Vocabulary, change: &Change) -> ImportedTerm {
    let name = |term| known.tag(term).to_owned();
    match change {
        Change::Add(term) => ImportedTerm { action: "add", name: name(term), was: None },
        Change::Remove(term) => ImportedTerm { action: "remove", name: name(term), was: None },
        Change::Update { before, after } => ImportedTerm {
            action: "change",
            name: name(after),
            was: Some(name(before)).filter(|was| *was != name(after)),
        },
    }
}

/// The vocabulary as a file. The header `docent-lost` says what the form cannot hold, and how often that is.
#[utoipa::path(get, path = "/api/v1/vocabulary/export", tag = "vocabulary", params(ExportFile), responses(
    (status = 200, description = "The file", content(
        (String = "text/turtle"), (String = "application/rdf+xml"), (String = "text/plain"), (String = "text/csv"),
        (serde_json::Value = "application/json"),
    )),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
    (status = 422, description = "The form cannot hold these terms", body = ErrorBody),
))]
pub async fn export(
    State(state): State<AppState>,
    Query(query): Query<ExportFile>,
) -> Result<Response, ApiError> {
    let known = state.store.vocabulary().await?;
    let format = vocabulary::Format::from(query.format);
    let written = aside(move || vocabulary::write(format, known.terms()))
        .await?
        .map_err(|error| ApiError::Unprocessable { code: "not_writable", message: error.to_string() })?;
    let name = format!("attachment; filename=\"vocabulary.{}\"", format.extension());
    let headers =
        [(header::CONTENT_TYPE, query.format.media_type().to_owned()), (header::CONTENT_DISPOSITION, name)];
    let mut response = (headers, written.bytes).into_response();
    if !written.lost.is_empty() {
        let lost: Vec<String> =
            written.lost.iter().map(|loss| format!("{}: {}", loss.what, loss.times)).collect();
        let lost =
            HeaderValue::from_str(&lost.join("; ")).map_err(|error| ApiError::Internal(error.into()))?;
        response.headers_mut().insert(LOST_HEADER, lost);
    }
    Ok(response)
}
