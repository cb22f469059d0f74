//! `docent export`

mod xmp;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use docent_pipelines::{Kind, Owner};
use time::OffsetDateTime;

use super::lookup::{kinds, owner, uri_prefix};
use super::output::{Out, say};
use super::since::since;
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::config::Config;
use crate::export::{Annotations, Csv, Export, Form, Lines};
use crate::store::{AssetFilter, PlaceFilter, Store};

const HELP: &str = "\
Examples:
  docent export csv accepted.csv
  docent export jsonl --since 24h | jq .accepted
  docent export webannotation --kind face faces.jsonl
  docent export xmp --path ~/Pictures/1998

docent exports what was accepted, and nothing else. Pictures come in the order of their places; those that are nowhere any \
more are left out.

With --since, only pictures come about which somebody decided since then; if everything about one was taken back, it comes \
with nothing.

Exit codes: 0 done, 1 there is nothing, 2 an error.";

const CSV_HELP: &str = "\
The table has a row for each picture: asset_id, path, uri, owners, width, height, keywords, keyword_paths, keyword_uris, \
caption, alt_text, text, objects, faces. A | stands between several values, and a / between the names of a keyword's path. \
The columns keep their names and their order; new ones come last. Import the columns as text: what docent read in a \
picture may look like a formula.";

/// Write what was accepted as a table, as JSON, as annotations or into sidecars
#[derive(Debug, Subcommand)]
#[command(after_long_help = HELP)]
pub enum ExportCommand {
    /// A table, a row for each picture
    #[command(after_long_help = CSV_HELP)]
    Csv(FileArgs),
    /// An object for each picture, with who accepted what, when, and by which model
    Jsonl(FileArgs),
    /// A W3C Web Annotation for each thing that was accepted, with its region and the address of its term
    Webannotation(FileArgs),
    Xmp(xmp::XmpArgs),
}

/// Which pictures and values.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only since this time: a date (2026-11-30), a time (2026-11-30T14:05Z) or an age (90m, 12h, 7d, 4w)
    #[arg(long, value_parser = since, value_name = "TIME")]
    since: Option<OffsetDateTime>,
    /// Only of this kind
    #[arg(long, value_parser = kinds(), value_name = "KIND")]
    kind: Option<Kind>,
    /// Only of pictures at or below this path
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    path: Option<PathBuf>,
    /// Only of pictures of this owner, as given to `docent ingest --owner`
    #[arg(long, value_parser = owner, value_name = "NAME")]
    owner: Option<Owner>,
}

/// A form that is one stream.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The file, which is replaced when the export is complete [default: standard output]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
}

impl FilterArgs {
    fn export(self, store: Arc<dyn Store>) -> Export {
        Export {
            store,
            filter: AssetFilter {
                kind: self.kind,
                place: PlaceFilter { uri_prefix: self.path.as_deref().map(uri_prefix), owner: self.owner },
                ..AssetFilter::default()
            },
            everything: false,
            since: self.since.map(|time| (time.unix_timestamp_nanos() / 1_000_000) as i64),
        }
    }
}

pub async fn run(config: Config, command: ExportCommand, out: &mut Out) -> anyhow::Result<Outcome> {
    match command {
        ExportCommand::Csv(args) => file(config, args, &Csv, out).await,
        ExportCommand::Jsonl(args) => file(config, args, &Lines, out).await,
        ExportCommand::Webannotation(args) => file(config, args, &Annotations, out).await,
        ExportCommand::Xmp(args) => xmp::run(config, args, out).await,
    }
}

/// Writes one stream, into a file or to standard output.
async fn file(config: Config, args: FileArgs, form: &dyn Form, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let export = args.filter.export(app.store());
    let pictures = match &args.file {
        None => export.run(form, |bytes| Ok(out.raw(bytes)?)).await?,
        Some(file) => {
            let writing = || format!("write {}", file.display());
            let mut part = file.as_os_str().to_owned();
            part.push(".part");
            let part = PathBuf::from(part);
            let mut writer = BufWriter::new(File::create(&part).with_context(writing)?);
            let pictures = export.run(form, |bytes| writer.write_all(bytes).with_context(writing)).await?;
            let written = writer.into_inner().map_err(std::io::IntoInnerError::into_error);
            written.and_then(|file| file.sync_all()).with_context(writing)?;
            std::fs::rename(&part, file).with_context(writing)?;
            pictures
        }
    };
    app.close().await;
    say(words::count(pictures, "picture", "pictures"));
    Ok(if pictures == 0 { Outcome::Nothing } else { Outcome::Done })
}
