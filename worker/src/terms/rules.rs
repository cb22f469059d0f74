//! Which rule each term has.

use std::collections::{HashMap, HashSet};

use docent_models::manifest::ModelEntry;
use docent_pipelines::VectorSpace;
use docent_pipelines::terms::{Background, Heads, Rule, calibrated, ensemble, prompts, zero_shot};
use docent_pipelines::vocabulary::{Term, TermId, Vocabulary};

use super::{TermMatching, TermsError};
use crate::store::{StoredHead, StoredRule};

/// What rules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    revision: i64,
    space: VectorSpace,
    /// How well it is known what pictures usually score.
    pictures: u32,
    heads: i64,
}

/// Pictures that say what is usual.
const SAMPLE: u32 = 2048;
/// Terms whose words are read before their rules are entered: so much is lost if a process dies.
const AT_ONCE: usize = 256;

impl Seen {
    pub fn new(known: &Vocabulary, space: &VectorSpace, newest: i64, heads: i64) -> Self {
        Self { revision: known.revision, space: space.clone(), pictures: known_by(newest), heads }
    }
}

/// Grows a few times while an archive does, and then no more.
fn known_by(pictures: i64) -> u32 {
    [32, 128, 512, i64::from(SAMPLE)].iter().map(|&enough| u32::from(pictures >= enough)).sum()
}

/// A term whose words have to be read first.
struct Unread<'a> {
    term: &'a Term,
    print: String,
    prompts: Vec<String>,
}

impl TermMatching {
    /// Enters rules that are new or not as they were, and takes out those of terms that are not offered any more.
    pub(super) async fn renew_rules(
        &self,
        known: &Vocabulary,
        space: &VectorSpace,
        seen: &Seen,
    ) -> Result<(), TermsError> {
        let (image, text) = self.search.networks().await?;
        let bundled = self.bundled_heads(image, space)?;
        let learned: HashMap<TermId, StoredHead> =
            self.store.heads(space).await?.into_iter().map(|head| (head.term.clone(), head)).collect();
        let entered: HashMap<TermId, String> = self.store.prints(space).await?.into_iter().collect();
        let (mut ready, mut unread, mut kept) = (Vec::new(), Vec::new(), HashSet::new());
        for term in known.terms().iter().filter(|term| term.enabled && !term.heading) {
            let (print, made) = match ruled(term, &bundled, &learned) {
                Ruled::By(source, rule) => {
                    let print = print(&[source.as_bytes(), &bytes(&rule)]);
                    (print.clone(), Made::Ready(stored(term, print, source, rule)))
                }
                Ruled::ByWords => {
                    let Some(text) = text else { continue };
                    let prompts = prompts(term, &text.languages);
                    let print = words_print(&prompts, term, text, seen.pictures);
                    (print.clone(), Made::Unread(Unread { term, print, prompts }))
                }
                Ruled::Not => continue,
            };
            kept.insert(term.id.clone());
            if entered.get(&term.id) == Some(&print) {
                continue;
            }
            match made {
                Made::Ready(rule) => ready.push(rule),
                Made::Unread(term) => unread.push(term),
            }
        }
        let gone: Vec<TermId> = entered.into_keys().filter(|term| !kept.contains(term)).collect();
        if !ready.is_empty() || !gone.is_empty() {
            self.store.set_rules(space, &ready, &gone).await?;
        }
        self.read_words(space, text, &unread).await
    }

    /// Makes rules of words.
    async fn read_words(
        &self,
        space: &VectorSpace,
        text: Option<&ModelEntry>,
        unread: &[Unread<'_>],
    ) -> Result<(), TermsError> {
        let calibration = text.and_then(|text| text.calibration);
        if unread.is_empty() {
            return Ok(());
        }
        let background = match calibration {
            Some(_) => Background::default(),
            None => self.background(space).await?,
        };
        for unread in unread.chunks(AT_ONCE) {
            let mut rules = Vec::new();
            for Unread { term, print, prompts } in unread {
                let Some(vector) = ensemble(&self.search.vectors_of(prompts.clone()).await?) else {
                    continue;
                };
                let rule = match calibration {
                    Some(own) => Some(calibrated(&vector, own.scale, own.bias, term.threshold)),
                    None => zero_shot(&vector, &background, term.threshold),
                };
                // With a few pictures nobody knows what is usual; when there are more, the rules are made again.
                rules.extend(rule.map(|rule| stored(term, print.clone(), "prompts", rule)));
            }
            if !rules.is_empty() {
                self.store.set_rules(space, &rules, &[]).await?;
            }
        }
        Ok(())
    }

    /// Pictures of the archive, as if drawn by lot: the ids of assets are hashes of their content.
    pub(super) async fn background(&self, space: &VectorSpace) -> Result<Background, TermsError> {
        let (mut values, mut dimensions) = (Vec::new(), 0);
        for vector in self.store.sample(space, SAMPLE).await? {
            if dimensions == 0 || vector.len() == dimensions {
                dimensions = vector.len();
                values.extend(vector);
            }
        }
        Ok(Background::new(dimensions, values))
    }

    /// The rule that a term would have without decisions, for comparison; `None` if it has none.
    pub(super) async fn untaught(
        &self,
        known: &Vocabulary,
        space: &VectorSpace,
        term: &TermId,
        background: &Background,
    ) -> Result<Option<Rule>, TermsError> {
        let Some(term) = known.term(term) else { return Ok(None) };
        let (image, text) = self.search.networks().await?;
        if let Ruled::By(_, rule) = ruled(term, &self.bundled_heads(image, space)?, &HashMap::new()) {
            return Ok(Some(rule));
        }
        let Some(text) = text else { return Ok(None) };
        let vectors = self.search.vectors_of(prompts(term, &text.languages)).await?;
        let Some(vector) = ensemble(&vectors) else { return Ok(None) };
        Ok(match text.calibration {
            Some(own) => Some(calibrated(&vector, own.scale, own.bias, term.threshold)),
            None => zero_shot(&vector, background, term.threshold),
        })
    }
}

enum Made<'a> {
    Ready(StoredRule),
    Unread(Unread<'a>),
}

/// Where a term's rule comes from.
enum Ruled {
    By(&'static str, Rule),
    ByWords,
    /// Its words are known not to be enough.
    Not,
}

/// Decisions come first, then heads that belong to the space, then words.
fn ruled(term: &Term, bundled: &Heads, learned: &HashMap<TermId, StoredHead>) -> Ruled {
    if let Some(head) = learned.get(&term.id).filter(|head| head.used) {
        let rule = Rule {
            weights: head.weights.clone(),
            bias: head.bias,
            least: term.threshold.unwrap_or(head.least),
        };
        return Ruled::By("decisions", rule);
    }
    let uri = term.uri.as_deref().unwrap_or_default();
    if let Some(rule) = bundled.of(uri) {
        return Ruled::By("head", Rule { least: term.threshold.unwrap_or(rule.least), ..rule.clone() });
    }
    // Somebody who sets a threshold has looked.
    if bundled.are_all_of(uri) && term.threshold.is_none() {
        return Ruled::Not;
    }
    Ruled::ByWords
}

fn stored(term: &Term, print: String, source: &str, rule: Rule) -> StoredRule {
    StoredRule {
        term: term.id.clone(),
        print,
        source: source.to_owned(),
        weights: rule.weights,
        bias: rule.bias,
        least: rule.least,
        applied: 0,
    }
}

fn words_print(prompts: &[String], term: &Term, text: &ModelEntry, pictures: u32) -> String {
    let model = text.model_ref().to_string();
    let threshold = term.threshold.map(f64::to_le_bytes).unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![b"words", model.as_bytes(), &threshold];
    let pictures = if text.calibration.is_some() { [0; 4] } else { pictures.to_le_bytes() };
    parts.push(&pictures);
    parts.extend(prompts.iter().map(String::as_bytes));
    print(&parts)
}

fn bytes(rule: &Rule) -> Vec<u8> {
    let numbers = rule.bias.to_le_bytes().into_iter().chain(rule.least.to_le_bytes());
    numbers.chain(rule.weights.iter().flat_map(|weight| weight.to_le_bytes())).collect()
}

/// 16 hexadecimal digits of what rules are made of.
fn print(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_learned_anew_a_few_times() {
        assert_eq!(
            [0, 31, 32, 127, 128, 511, 512, 2047, 2048, 1 << 40].map(known_by),
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        );
    }
}
