//! Arguments that several commands share, and how they are looked up in the ledger.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use docent_pipelines::{AnalyzerId, AssetId, Kind, Owner, Status};

use super::problem::Hinted;
use crate::assets::{file_uri, lexical, path_of_uri};
use crate::store::{AssetFilter, Page, Paged, PlaceFilter, Store, StoreError};

/// The analyzers as choices of `--only`.
pub fn analyzers() -> impl TypedValueParser<Value = AnalyzerId> {
    PossibleValuesParser::new(AnalyzerId::CHOICES.map(AnalyzerId::as_str))
        .map(|name| name.parse().expect("is one of the choices"))
}

/// The kinds as choices.
pub fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
        .map(|name| name.parse().expect("is one of the choices"))
}

/// The states of a suggestion as choices.
pub fn statuses() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .map(|name| name.parse().expect("is one of the choices"))
}

/// A number from 0 to 1.
pub fn confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("not a number from 0 to 1".to_owned()),
    }
}

/// The name of an owner.
pub fn owner(text: &str) -> Result<Owner, String> {
    Owner::try_from(text.to_owned()).map_err(|problem| format!("it {problem}"))
}

/// The one path by which a place is known to the ledger, given as a path or as a `file:` address: absolute and without
/// `..`, which would give the same file several names.
pub fn place(path: &Path) -> PathBuf {
    if let Some(named) = path.to_str().and_then(path_of_uri) {
        return named;
    }
    let plain = lexical(path);
    let leads_up = path.components().any(|part| part == Component::ParentDir);
    // Behind a link, `..` leads elsewhere than the text says; what the shell would open is meant.
    if leads_up && file_id(path) != file_id(&plain) { path.canonicalize().unwrap_or(plain) } else { plain }
}

fn file_id(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The beginning of the addresses of everything at or below `path`.
pub fn uri_prefix(path: &Path) -> String {
    let path = place(path);
    let mut uri = file_uri(&path);
    if path.is_dir() && !uri.ends_with('/') {
        uri.push('/');
    }
    uri
}

/// Filters of `search` and `similar`.
#[derive(Debug, clap::Args)]
pub struct AssetFilterArgs {
    /// Only pictures with this tag, accepted or pending
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only pictures with a suggestion of this kind, accepted or pending
    #[arg(long, value_parser = kinds(), value_name = "KIND")]
    kind: Option<Kind>,
    /// Only pictures at or below this path
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    path: Option<PathBuf>,
    /// Only pictures of this owner, as given to `docent ingest --owner`
    #[arg(long, value_parser = owner, value_name = "NAME")]
    owner: Option<Owner>,
}

impl From<AssetFilterArgs> for AssetFilter {
    fn from(args: AssetFilterArgs) -> Self {
        Self {
            tag: args.tag,
            kind: args.kind,
            place: PlaceFilter { uri_prefix: args.path.as_deref().map(uri_prefix), owner: args.owner },
            ..Self::default()
        }
    }
}

/// Fewer digits could fit anything.
const MIN_DIGITS: usize = 6;

/// The asset that is meant by an id, by the first digits of one, or by a path.
pub async fn asset(store: &dyn Store, text: &str) -> anyhow::Result<AssetId> {
    let unknown = || {
        Hinted::new(
            format!("'{text}' is no asset in the ledger, and no path of one"),
            "`docent suggestions` and `docent search` show assets with their ids; `docent ingest` adds a file",
        )
    };
    if let Some(id) = store.asset_at(&file_uri(&place(Path::new(text)))).await? {
        return Ok(id);
    }
    if let Ok(id) = AssetId::try_from(text.to_owned()) {
        return match store.asset(&id).await {
            Ok(_) => Ok(id),
            Err(StoreError::NotFound { .. }) => Err(unknown().into()),
            Err(error) => Err(error.into()),
        };
    }
    let is_prefix = text.len() >= MIN_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_prefix {
        return Err(unknown().into());
    }
    let mut fitting = store.assets_beginning(text, 2).await.context("look up the asset")?.into_iter();
    match (fitting.next(), fitting.next()) {
        (None, _) => Err(unknown().into()),
        (Some(id), None) => Ok(id),
        _ => Err(Hinted::new(format!("'{text}' fits several assets"), "give more digits of the id").into()),
    }
}

/// Rows of one page of a listing.
const PAGE: u32 = 500;

/// Gives every page of a listing to `take`, at most `limit` rows in all. Answers how many there were.
pub async fn pages<T>(
    limit: Option<u64>,
    mut fetch: impl AsyncFnMut(&Page) -> Result<Paged<T>, StoreError>,
    mut take: impl FnMut(Vec<T>) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut after = None;
    let mut seen = 0;
    while left > 0 {
        let page = Page { limit: PAGE.min(u32::try_from(left).unwrap_or(PAGE)), after };
        let Paged { rows, next } = fetch(&page).await?;
        seen += rows.len() as u64;
        left -= (rows.len() as u64).min(left);
        take(rows)?;
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidences_are_shares() {
        assert_eq!(confidence("0.5"), Ok(0.5));
        for text in ["1.5", "-0.1", "NaN", "high"] {
            assert!(confidence(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_folder_does_not_begin_the_name_of_its_neighbor() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("a");
        std::fs::create_dir(&inner).expect("is made");
        assert!(uri_prefix(&inner).ends_with("/a/"));
        assert_eq!(uri_prefix(&inner.join("../a")), uri_prefix(&inner.canonicalize().expect("exists")));
        assert!(uri_prefix(&inner.join("b.jpg")).ends_with("/a/b.jpg"));
        let address = format!("file://localhost{}/%61/", folder.path().display());
        assert_eq!(uri_prefix(Path::new(&address)), uri_prefix(&inner));
    }

    #[test]
    fn two_dots_behind_a_link_lead_where_the_shell_goes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let here = folder.path().canonicalize().expect("is there");
        std::fs::create_dir_all(here.join("far/away")).expect("is made");
        std::fs::write(here.join("far/a.jpg"), "a").expect("is written");
        std::os::unix::fs::symlink(here.join("far/away"), here.join("link")).expect("a link");
        std::os::unix::fs::symlink(here.join("far"), here.join("near")).expect("a link");
        assert_eq!(place(&here.join("link/../a.jpg")), here.join("far/a.jpg"));
        // Where both lead to the same file, the name that was given stays.
        assert_eq!(place(&here.join("far/../near/a.jpg")), here.join("near/a.jpg"));
        assert_eq!(place(&here.join("gone/../x.jpg")), here.join("x.jpg"));
    }

    #[tokio::test]
    async fn pages_end_at_the_limit_or_with_the_listing() {
        let listing = async |page: &Page| {
            let start: u32 = page.after.as_ref().map_or(0, |after| after.parse().expect("is a number"));
            let end = (start + page.limit).min(1200);
            Ok(Paged { rows: (start..end).collect::<Vec<_>>(), next: (end < 1200).then(|| end.to_string()) })
        };
        for (limit, expected) in [(None, 1200), (Some(700), 700), (Some(0), 0), (Some(5000), 1200)] {
            let mut rows = Vec::new();
            let seen = pages(limit, listing, |page| {
                rows.extend(page);
                Ok(())
            });
            assert_eq!(seen.await.expect("is listed"), expected);
            assert_eq!(rows, (0..expected as u32).collect::<Vec<_>>());
        }
    }
}
