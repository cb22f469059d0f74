//! `docent search`

use clap::Args;

use super::lookup::AssetFilterArgs;
use super::output::{Format, FormatArg, Out, say};
use super::problem::Hinted;
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;
use crate::search::{By, ByWords, Hits, Matches, by_words};
use crate::store::Store;

const HELP: &str = "\
Examples:
  docent search \"two dogs on grass\" -k 20
  docent search \"market square\" --path ~/Pictures/1998
  docent search --text '\"grand hotel\" 1927'
  docent search \"a red car\" --format json | jq -r .uri

A search finds pictures by what they show and by the words that docent read in them; --text searches only the words. A \
text matches if it contains all words. Words in double quotes must follow each other. Case and accents do not matter. \
--text also finds parts of longer words. Rejected texts are not found.

The score is the likeness of words and picture, from -1 to 1; 0.2 to 0.5 is a good match. There is always a best match, \
even for what no picture shows. Words that are a term of the vocabulary, in any of its languages, first find the pictures \
that somebody accepted as that term or as a narrower one. A hit is marked as weak if its score is no higher than the best one that as many \
unrelated pictures would reach by chance; a sample of 512 pictures shows how such scores are spread. With fewer than 32 \
pictures no hit is marked. The search by meaning understands the languages of its network (of the bundled one: English), \
the search in texts understands any.

Exit codes: 0 something was found, 1 nothing was, 2 an error.";

/// Find pictures by what they show, or by the words in them
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SearchArgs {
    /// What to look for
    #[arg(value_name = "WORDS")]
    words: String,
    /// Search only the words in pictures
    #[arg(long)]
    text: bool,
    /// How many pictures, 1 to 1000
    #[arg(short, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    k: u16,
    #[command(flatten)]
    filter: AssetFilterArgs,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: SearchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    if args.words.trim().is_empty() {
        return Err(Hinted::new(
            "search for no words",
            "say what to look for, as in docent search \"two dogs\"",
        )
        .into());
    }
    let app = App::open(config, Access::Shared).await?;
    let filter = args.filter.into();
    let question = ByWords {
        words: &args.words,
        unfinished: false,
        by: args.text.then_some(By::Text),
        k: args.k.into(),
        filter: &filter,
    };
    let search = app.search();
    let (nearest, passing) = (&search, &filter);
    let meaning = |words: String, k| async move { nearest.by_words(&words, k, passing).await };
    let found = by_words(&*app.store(), question, meaning).await?;
    let outcome = show_matches(&found, args.format.format, &*app.store(), out).await?;
    if let Some(term) = &found.term {
        let accepted = found.hits.iter().filter(|hit| hit.matched.contains(&By::Term)).count() as u64;
        let hits = words::count(accepted, "hit was", "hits were");
        say(match accepted {
            0 => format!("'{term}' is a term; nothing was accepted as it yet"),
            _ => {
                format!("'{term}' is a term: {hits} accepted as it or as something narrower, and come first")
            }
        });
    }
    let weak = found.hits.iter().filter(|hit| hit.weak).count() as u64;
    if let (true, Some(least)) = (weak > 0, found.weak_from) {
        let languages: Vec<String> = search.languages().await?.iter().map(|tag| language(tag)).collect();
        let hits = words::count(weak, "hit is", "hits are");
        say(format!("{hits} weak: chance gives scores below {least:.2} to pictures that do not fit"));
        if !languages.is_empty() {
            say(format!("the search by meaning understands {}", languages.join(", ")));
        }
    }
    drop(search);
    app.close().await;
    Ok(outcome)
}

/// The name of a language where it is known, else its tag.
fn language(tag: &str) -> String {
    let name = match tag.split('-').next().unwrap_or(tag) {
        "ar" => "Arabic",
        "de" => "German",
        "en" => "English",
        "es" => "Spanish",
        "fr" => "French",
        "it" => "Italian",
        "ja" => "Japanese",
        "ko" => "Korean",
        "nl" => "Dutch",
        "pl" => "Polish",
        "pt" => "Portuguese",
        "ru" => "Russian",
        "tr" => "Turkish",
        "zh" => "Chinese",
        _ => tag,
    };
    name.to_owned()
}

/// Writes what was found by words, or says why there is nothing.
async fn show_matches(
    found: &Matches,
    format: Format,
    store: &dyn Store,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    if let Some(model) = &found.without_meaning {
        say(format!(
            "only the words in pictures were searched: {model}; `docent models list` shows the models there are"
        ));
    }
    let has_weak = found.hits.iter().any(|hit| hit.weak);
    let weak = has_weak.then(|| Column::left("WEAK"));
    let has_term = found.term.is_some();
    let by = has_term.then(|| Column::left("BY"));
    let columns = [Column::left("ASSET"), Column::path("FILE"), Column::text("TEXT")];
    let mut table = Table::new([Column::right("SCORE")].into_iter().chain(weak).chain(by).chain(columns));
    for hit in &found.hits {
        match format {
            Format::Json => out.json(hit)?,
            Format::Table => {
                let score = hit.score.map_or_else(String::new, |score| format!("{score:.3}"));
                let weak = has_weak.then(|| if hit.weak { "weak".to_owned() } else { String::new() });
                let by = has_term.then(|| {
                    if hit.matched.contains(&By::Term) { "accepted" } else { "likeness" }.to_owned()
                });
                let cells = [
                    words::short(hit.asset_id.as_str()),
                    display_path(&hit.uri),
                    hit.text.as_ref().map_or_else(String::new, |excerpt| excerpt.text.clone()),
                ];
                table.row([score].into_iter().chain(weak).chain(by).chain(cells));
            }
        }
    }
    out.table(&mut table)?;
    end(found.hits.is_empty(), found.complete, store).await
}

/// Writes hits, or says why there are none.
pub(super) async fn show(
    found: &Hits,
    format: Format,
    store: &dyn Store,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    let mut table = Table::new([Column::right("SCORE"), Column::left("ASSET"), Column::path("FILE")]);
    let hits = &found.hits;
    for hit in hits {
        match format {
            Format::Json => out.json(hit)?,
            Format::Table => table.row([
                format!("{:.3}", hit.score),
                words::short(hit.asset_id.as_str()),
                display_path(&hit.uri),
            ]),
        }
    }
    out.table(&mut table)?;
    end(hits.is_empty(), found.complete, store).await
}

/// Says what there is to say behind a list of hits.
async fn end(nothing: bool, complete: bool, store: &dyn Store) -> anyhow::Result<Outcome> {
    if !complete {
        say(
            "the filters pass few of the best hits; there may be more, further away: narrow the filters to see them",
        );
    }
    if !nothing {
        return Ok(Outcome::Done);
    }
    let page = crate::store::Page { limit: 1, after: None };
    let empty = store.list_assets(&crate::store::AssetFilter::default(), &page).await?.rows.is_empty();
    say(if empty { "nothing is ingested yet: `docent ingest PATH` begins" } else { "nothing found" });
    Ok(Outcome::Nothing)
}
