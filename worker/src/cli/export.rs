//! `docent export`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use docent_pipelines::{Kind, Owner};
use time::OffsetDateTime;

use super::lookup::{kinds, owner, uri_prefix};
use super::output::{Out, say};
use super::since::since;
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::config::Config;
use crate::export::{Annotations, Csv, Export, Form, Lines};
use crate::store::{AssetFilter, PlaceFilter};

const HELP: &str = "\
Examples:
  docent export csv accepted.csv
  docent export jsonl --since 24h | jq .accepted
  docent export webannotation --kind face faces.jsonl

docent exports what was accepted, and nothing else. Pictures come in the order of their places; those that are nowhere any \
more are left out.

csv has a row for each picture: asset_id, path, uri, owners, width, height, keywords, keyword_paths, keyword_uris, caption, \
alt_text, text, objects, faces. A | stands between several values, and a / between the names of a keyword's path. The \
columns keep their names and their order; new ones come last. Import the columns as text: what docent read in a picture may \
look like a formula.

jsonl has an object for each picture, with who accepted what, when, and by which model. webannotation has a W3C Web \
Annotation for each thing that was accepted, with its region and the address of its term.

With --since, only pictures come about which somebody decided since then; if everything about one was taken back, it comes \
with nothing.

Exit codes: 0 done, 1 there is nothing, 2 an error.";

/// Write what was accepted as a table, as JSON or as annotations
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ExportArgs {
    /// The form
    #[arg(value_enum, value_name = "FORM")]
    form: FormName,
    /// The file, which is replaced when the export is complete [default: standard output]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormName {
    /// A table, a row for each picture
    Csv,
    /// An object for each picture
    Jsonl,
    /// A W3C Web Annotation for each thing that was accepted
    Webannotation,
}

pub async fn run(config: Config, args: ExportArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let export = Export {
        store: app.store(),
        filter: AssetFilter {
            kind: args.kind,
            place: PlaceFilter { uri_prefix: args.path.as_deref().map(uri_prefix), owner: args.owner },
            ..AssetFilter::default()
        },
        since: args.since.map(|time| (time.unix_timestamp_nanos() / 1_000_000) as i64),
    };
    let form: &dyn Form = match args.form {
        FormName::Csv => &Csv,
        FormName::Jsonl => &Lines,
        FormName::Webannotation => &Annotations,
    };
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
