//! What a sidecar is to say about a picture.

use docent_pipelines::Kind;

use super::record::{Entry, fit};
use super::regions::{Area, FACE, Marked};
use crate::export::{Accepted, Picture};

/// What is to be said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    /// Only what belongs to these kinds; everything else stays as it is.
    pub scope: Scope,
    pub keywords: Vec<String>,
    /// From the top down.
    pub paths: Vec<Vec<String>>,
    /// Address and name.
    pub terms: Vec<(String, String)>,
    pub description: Option<String>,
    pub headline: Option<String>,
    pub alt_text: Option<String>,
    pub texts: Vec<String>,
    pub regions: Vec<Marked>,
    /// Of the stored picture, in pixels; there are no regions without it.
    pub size: (u32, u32),
    pub entries: Vec<Entry>,
}

/// Which kinds are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scope(pub Option<Kind>);

impl Scope {
    /// Whether what a kind says is written. Kinds that share a property are written together.
    pub(super) fn holds(self, kind: Kind) -> bool {
        let group = |kind| match kind {
            Kind::Proposal => Kind::Tag,
            Kind::Face => Kind::Object,
            other => other,
        };
        self.0.is_none_or(|asked| group(asked) == group(kind))
    }
}

/// What is asked for beyond what everybody wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// Broader terms are keywords, too.
    pub ancestors: bool,
    /// The caption is also the headline.
    pub headline: bool,
}

impl Wanted {
    /// What was accepted about a picture. `orientation` is EXIF's, 1..=8, of its file.
    pub(super) fn of(picture: &Picture, scope: Scope, extras: Extras, orientation: u8) -> Self {
        let accepted: Vec<&Accepted> =
            picture.accepted.iter().filter(|accepted| scope.holds(accepted.row.kind)).collect();
        let mut entries: Vec<Entry> = accepted.iter().map(|accepted| Entry::of(accepted)).collect();
        entries.sort();
        let mut wanted = Self { scope, entries, size: stored_size(picture, orientation), ..Self::default() };
        for accepted in accepted {
            wanted.add(accepted, extras, orientation);
        }
        wanted.headline = wanted.description.clone().filter(|_| extras.headline);
        wanted
    }

    fn add(&mut self, Accepted { row, term, .. }: &Accepted, extras: Extras, orientation: u8) {
        let value = fit(&row.value).trim().to_owned();
        if value.is_empty() && row.kind != Kind::Face {
            return;
        }
        match row.kind {
            Kind::Tag | Kind::Proposal => {
                let mut path: Vec<String> =
                    term.iter().flat_map(|term| &term.path).map(|name| word(name)).collect();
                path.retain(|name| !name.is_empty());
                if path.is_empty() {
                    path.push(word(&value));
                }
                add(&mut self.keywords, word(&value));
                if extras.ancestors {
                    path.iter().for_each(|name| add(&mut self.keywords, name.clone()));
                }
                if let Some(uri) = term.as_ref().and_then(|term| term.uri.as_deref()) {
                    add(&mut self.terms, (fit(uri), word(&value)));
                }
                add(&mut self.paths, path);
            }
            Kind::Caption => append(&mut self.description, &value),
            Kind::AltText => append(&mut self.alt_text, &value),
            Kind::Text => add(&mut self.texts, value),
            Kind::Object | Kind::Face => {
                let (kind, name) = match row.kind {
                    Kind::Face => (Some(FACE.to_owned()), None),
                    _ => (None, Some(word(&value))),
                };
                if let Some(region) = row.region
                    && self.size != (0, 0)
                {
                    add(&mut self.regions, Marked { kind, name, area: Area::stored(region, orientation) });
                }
            }
            // There is no property for it; where it comes from is kept.
            Kind::Emotion => {}
        }
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Width and height of the picture as its file stores it, in pixels; (0, 0) if they are not known.
fn stored_size(picture: &Picture, orientation: u8) -> (u32, u32) {
    match (picture.asset.width, picture.asset.height) {
        (Some(width), Some(height)) if orientation >= 5 => (height, width),
        (Some(width), Some(height)) => (width, height),
        _ => (0, 0),
    }
}

/// A keyword: one line, without space around it.
fn word(text: &str) -> String {
    fit(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn append(text: &mut Option<String>, more: &str) {
    match text {
        Some(text) => text.push_str(&format!("\n{more}")),
        None => *text = Some(more.to_owned()),
    }
}
