//! `docent similar`

use std::path::{Path, PathBuf};

use clap::Args;
use docent_pipelines::Fingerprint;

use super::Outcome;
use super::lookup::{AssetFilterArgs, asset, place};
use super::output::{FormatArg, Out};
use super::search::show;
use crate::app::{Access, App};
use crate::assets::file_uri;
use crate::config::Config;
use crate::search::{Hits, SearchError};
use crate::store::{AssetFilter, StoreError};

const HELP: &str = "\
Examples:
  docent similar beach.jpg              any file, ingested or not
  docent similar 3f2a9c0d11e4 -k 30     a picture of the archive

The score is the likeness of the pictures, from -1 to 1. Copies are near 1.

Exit codes: 0 something was found, 1 nothing was, 2 an error.";

/// Find pictures that look like a picture
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SimilarArgs {
    /// A file, or the id of an asset or its first digits
    #[arg(value_name = "PATH|ASSET_ID", value_hint = clap::ValueHint::FilePath)]
    like: PathBuf,
    /// How many pictures, 1 to 1000
    #[arg(short, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    k: u16,
    #[command(flatten)]
    filter: AssetFilterArgs,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: SimilarArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let (k, filter) = (usize::from(args.k), AssetFilter::from(args.filter));
    let path = place(&args.like);
    let hits = if path.is_file() {
        by_file(&app, &path, k, &filter).await?
    } else {
        let id = asset(&*app.store(), &args.like.to_string_lossy()).await?;
        app.search().by_asset(&id, k, &filter).await?
    };
    let outcome = show(&hits, args.format.format, &*app.store(), out).await?;
    app.close().await;
    Ok(outcome)
}

/// A file is looked up by its picture: what is known already is not embedded again.
async fn by_file(app: &App, path: &Path, k: usize, filter: &AssetFilter) -> anyhow::Result<Hits> {
    let bytes = app.named().fetch(&file_uri(path)).await?;
    let search = app.search();
    let found = Fingerprint::of(&bytes);
    let known = app.store().identify(&[found]).await?.pop().unwrap_or_else(|| found.asset_id());
    match search.by_asset(&known, k, filter).await {
        Err(SearchError::NotAnalyzed { .. } | SearchError::Store(StoreError::NotFound { .. })) => {
            Ok(search.by_picture(bytes, k, filter).await?)
        }
        hits => Ok(hits?),
    }
}
