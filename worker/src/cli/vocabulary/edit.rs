//! Changes of single terms.

use docent_pipelines::vocabulary::{Language, Note, Role, Term, TermId, Vocabulary};

use super::apply::catch_up;
use super::{AddArgs, ChangeArgs, LanguageArgs, MergeArgs, MoveArgs, WordsArgs, wrong};
use crate::app::App;
use crate::cli::Outcome;
use crate::cli::output::{Out, say};
use crate::cli::problem::Hinted;
use crate::store::{Reviewer, TermChange};

pub(super) fn somebody(app: &App) -> Reviewer {
    Reviewer { name: app.config().reviewer.clone(), client: "cli".to_owned() }
}

pub(super) async fn add(app: &App, args: AddArgs) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let parents = ids(&known, &args.below)?;
    let language = args.words.language.clone().unwrap_or_else(|| known.language.clone());
    let id = match &args.words.uri {
        Some(uri) => TermId::derived(&["uri", uri]),
        None => {
            let above: Vec<&str> = parents.iter().map(TermId::as_str).collect();
            TermId::derived(&["name", &above.join(" "), &args.name])
        }
    };
    if known.term(&id).is_some() {
        let hint = "`docent vocabulary change` changes it";
        return Err(Hinted::new(format!("'{}' is in the vocabulary already", args.name), hint).into());
    }
    let mut term = Term::named(id, language.clone(), args.name.trim());
    term.parents = parents;
    say_of(&mut term, &language, &args.words);
    put(app, &known, vec![term], "added").await
}

pub(super) async fn change(app: &App, args: ChangeArgs) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let mut term = known.find(&args.term.term).map_err(wrong)?.clone();
    let language = args.words.language.clone().unwrap_or_else(|| known.language.clone());
    if let Some(name) = &args.name {
        term.rename(&language, name.trim());
    }
    say_of(&mut term, &language, &args.words);
    if args.no_threshold {
        term.threshold = None;
    }
    term.enabled = (term.enabled || args.on) && !args.off;
    put(app, &known, vec![term], "changed").await
}

fn say_of(term: &mut Term, language: &Language, words: &WordsArgs) {
    words.synonym.iter().for_each(|word| term.also(language, Role::Alternative, word.trim()));
    words.hidden.iter().for_each(|word| term.also(language, Role::Hidden, word.trim()));
    if !words.prompt.is_empty() {
        term.prompts.clone_from(&words.prompt);
    }
    if let Some(text) = &words.note {
        term.notes.retain(|note| note.language != *language);
        term.notes.push(Note { language: language.clone(), text: text.clone() });
    }
    term.uri = words.uri.clone().or(term.uri.take());
    term.threshold = words.threshold.or(term.threshold);
}

pub(super) async fn put_below(app: &App, args: MoveArgs) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let mut term = known.find(&args.term.term).map_err(wrong)?.clone();
    term.parents = ids(&known, &args.below)?;
    put(app, &known, vec![term], "moved").await
}

pub(super) async fn merge(app: &App, args: MergeArgs) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let from = known.find(&args.term.term).map_err(wrong)?;
    let into = known.find(&args.into).map_err(wrong)?;
    if from.id == into.id {
        return Err(Hinted::new("a term cannot be merged into itself", "name two terms").into());
    }
    if known.narrower(from).iter().any(|below| below.id == into.id) {
        let hint = "merge the narrower term into the broader one";
        return Err(Hinted::new(format!("'{}' is below '{}'", args.into, args.term.term), hint).into());
    }
    let change = TermChange::Merge { from: from.id.clone(), into: into.id.clone() };
    let text = format!("'{}' is now '{}'", known.path(from), known.path(into));
    app.store().change_terms(&[change], known.revision, &somebody(app)).await?;
    say(text);
    catch_up(app).await
}

pub(super) async fn remove(app: &App, asked: &str) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let term = known.find(asked).map_err(wrong)?;
    let id = term.id.clone();
    if known.children(&id).next().is_some() {
        let hint = "move or remove what is below it first, or merge it into another term";
        return Err(Hinted::new(format!("there are terms below '{}'", known.path(term)), hint).into());
    }
    let text = format!("'{}' is removed", known.path(term));
    app.store().change_terms(&[TermChange::Remove(id)], known.revision, &somebody(app)).await?;
    say(text);
    catch_up(app).await
}

pub(super) async fn language(app: &App, args: LanguageArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let Some(language) = args.language else {
        out.line(app.store().vocabulary().await?.language.as_str())?;
        return Ok(Outcome::Done);
    };
    app.store().speak(&language).await?;
    say(format!("tags are in {language}, where a term has a name in it"));
    catch_up(app).await
}

fn ids(known: &Vocabulary, asked: &[String]) -> anyhow::Result<Vec<TermId>> {
    asked.iter().map(|asked| Ok(known.find(asked).map_err(wrong)?.id.clone())).collect()
}

async fn put(app: &App, known: &Vocabulary, terms: Vec<Term>, what: &str) -> anyhow::Result<Outcome> {
    known.allows(&terms, &[]).map_err(wrong)?;
    let names: Vec<String> = terms.iter().map(|term| format!("'{}'", term.name(&known.language))).collect();
    let changes: Vec<TermChange> = terms.into_iter().map(|term| TermChange::Put(Box::new(term))).collect();
    let changed = app.store().change_terms(&changes, known.revision, &somebody(app)).await?;
    if changed.revision == known.revision {
        say(format!("{} is as it was", names.join(", ")));
        return Ok(Outcome::Nothing);
    }
    say(format!("{} is {what}", names.join(", ")));
    catch_up(app).await
}
