//! Brings what was accepted into a packet that may hold what others wrote.
//!
//! - docent adds to lists. It takes out what it added itself and what is no longer wanted; what a person wrote stays.
//! - A text is written where there is none, or docent's own earlier one.
//! - Regions of others stay. What they already mark is not marked again.

use std::collections::HashSet;

use docent_pipelines::Kind;
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use super::names::{
    ALT_TEXT, APPLIED_TO, CV_TERM_ID, CV_TERM_NAME, CV_TERMS, DESCRIPTION, HEADLINE, HIERARCHY, RDF_ALT,
    RDF_LI, RDF_PARSE_TYPE, RDF_SEQ, REGION_INFO, REGION_LIST, SUBJECT, TAGS_LIST, TEXT, XML_LANG,
};
use super::packet::{List, Packet, PacketError};
use super::record::{Entry, Written};
use super::regions::{Marked, Regions};
use super::tree::{Name, New};
use super::value::Value;
use super::wanted::Wanted;

/// What a merge did to a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name, such as `dc:subject`.
    pub property: String,
    /// What is there now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// What is no longer there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// What came of a merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// What was done to properties that others know, too.
    pub changes: Vec<Change>,
    /// What was left as it is although something else was accepted, and why.
    pub notes: Vec<String>,
}

/// Merges, and tells what changed. A second merge of the same changes nothing.
pub(super) fn merge(packet: &mut Packet, wanted: &Wanted) -> Result<Merged, PacketError> {
    let mut merge = Merge { written: Written::read(packet), packet, merged: Merged::default() };
    let scope = wanted.scope;
    if scope.holds(Kind::Tag) {
        merge.keywords(wanted)?;
        merge.terms(wanted)?;
    }
    if scope.holds(Kind::Caption) {
        merge.written.description =
            merge.text(DESCRIPTION, merge.written.description.clone(), wanted.description.as_deref());
        merge.written.headline = merge.headline(merge.written.headline.clone(), wanted.headline.as_deref());
    }
    if scope.holds(Kind::AltText) {
        merge.written.alt_text =
            merge.text(ALT_TEXT, merge.written.alt_text.clone(), wanted.alt_text.as_deref());
    }
    if scope.holds(Kind::Object) {
        merge.regions(wanted)?;
    }
    if scope.holds(Kind::Text) {
        merge.own_texts(&wanted.texts);
    }
    let Merge { written, packet, merged } = merge;
    written.write(packet);
    let mut entries = Entry::read_all(packet);
    entries.retain(|entry| entry.kind().is_some_and(|kind| !scope.holds(kind)));
    entries.extend(wanted.entries.iter().cloned());
    entries.sort();
    Entry::write_all(&entries, packet);
    Ok(merged)
}

struct Merge<'a> {
    packet: &'a mut Packet,
    written: Written,
    merged: Merged,
}

/// What becomes of a list.
struct Plan {
    /// Places of what is taken out.
    without: Vec<usize>,
    /// What is added: places among what is wanted.
    with: Vec<usize>,
    /// What docent has written then.
    written: Vec<String>,
    removed: Vec<String>,
}

/// `there` is what the list holds (`None` where that is not understood), `ours` what docent wrote before, `wanted` what it is to hold.
/// `is_there` tells whether something stands for what is wanted, though it is not the same.
fn plan(
    there: &[Option<String>],
    ours: &[String],
    wanted: &[String],
    is_there: impl Fn(usize, &HashSet<usize>) -> bool,
) -> Plan {
    let mut plan = Plan { without: Vec::new(), with: Vec::new(), written: Vec::new(), removed: Vec::new() };
    for text in ours.iter().filter(|text| !wanted.contains(text)) {
        if let Some(place) = there.iter().position(|there| there.as_ref() == Some(text)) {
            plan.without.push(place);
            plan.removed.push(text.clone());
        }
    }
    let gone: HashSet<usize> = plan.without.iter().copied().collect();
    for (index, text) in wanted.iter().enumerate() {
        let stays = there.iter().any(|there| there.as_ref() == Some(text));
        if stays && ours.contains(text) {
            plan.written.push(text.clone());
        } else if !stays && !is_there(index, &gone) {
            plan.with.push(index);
            plan.written.push(text.clone());
        }
    }
    plan
}

/// What is the same for spellings of one word: composed or not, in upper or lower case.
fn spelled(text: &str) -> String {
    text.nfc().collect::<String>().to_lowercase()
}

impl Merge<'_> {
    fn note(&mut self, property: Name, added: Vec<String>, removed: Vec<String>) {
        if !added.is_empty() || !removed.is_empty() {
            self.merged.changes.push(Change { property: property.to_string(), added, removed });
        }
    }

    /// The items of a list as texts.
    fn there(&self, name: Name) -> Vec<Option<String>> {
        let value = self.packet.get(name);
        let items = value.as_ref().map(Value::items).unwrap_or_default();
        items.into_iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    fn keywords(&mut self, wanted: &Wanted) -> Result<(), PacketError> {
        let joined = |between: char| -> Vec<String> {
            let plain = |name: &String| name.replace(between, "-");
            let between = between.to_string();
            wanted
                .paths
                .iter()
                .map(|path| path.iter().map(plain).collect::<Vec<_>>().join(&between))
                .collect()
        };
        self.written.subject =
            self.words(SUBJECT, List::Bag, &self.written.subject.clone(), &wanted.keywords)?;
        self.written.hierarchy =
            self.words(HIERARCHY, List::Bag, &self.written.hierarchy.clone(), &joined('|'))?;
        self.written.tags_list =
            self.words(TAGS_LIST, List::Seq, &self.written.tags_list.clone(), &joined('/'))?;
        Ok(())
    }

    fn words(
        &mut self,
        name: Name,
        kind: List,
        ours: &[String],
        wanted: &[String],
    ) -> Result<Vec<String>, PacketError> {
        let there = self.there(name);
        let spellings: Vec<Option<String>> = there.iter().map(|text| text.as_deref().map(spelled)).collect();
        let is_there = |index: usize, gone: &HashSet<usize>| {
            let wanted = wanted.get(index).map(|text| spelled(text));
            spellings
                .iter()
                .enumerate()
                .any(|(place, text)| !gone.contains(&place) && text.is_some() && *text == wanted)
        };
        let Plan { without, with, written, removed } = plan(&there, ours, wanted, is_there);
        let added: Vec<String> = with.iter().filter_map(|index| wanted.get(*index)).cloned().collect();
        if !without.is_empty() || !added.is_empty() {
            let items = added.iter().map(|text| New::text(RDF_LI, text)).collect();
            self.packet.change_list(name, kind, &without, items)?;
        }
        self.note(name, added, removed);
        Ok(written)
    }

    fn terms(&mut self, wanted: &Wanted) -> Result<(), PacketError> {
        let value = self.packet.get(CV_TERMS);
        let items = value.as_ref().map(Value::items).unwrap_or_default();
        let id = |item: &Value| item.field(CV_TERM_ID).and_then(Value::text).map(str::to_owned);
        let there: Vec<Option<String>> = items.into_iter().map(id).collect();
        let uris: Vec<String> = wanted.terms.iter().map(|(uri, _)| uri.clone()).collect();
        let Plan { without, with, written, removed } = plan(&there, &self.written.terms, &uris, |_, _| false);
        let with: Vec<&(String, String)> =
            with.into_iter().filter_map(|index| wanted.terms.get(index)).collect();
        if !without.is_empty() || !with.is_empty() {
            let item = |(uri, name): &&(String, String)| {
                let name = New::text(RDF_LI, name).with(XML_LANG, "x-default");
                let name = New::elements(CV_TERM_NAME, vec![New::elements(RDF_ALT, vec![name])]);
                New::elements(RDF_LI, vec![New::text(CV_TERM_ID, uri), name]).with(RDF_PARSE_TYPE, "Resource")
            };
            self.packet.change_list(CV_TERMS, List::Bag, &without, with.iter().map(item).collect())?;
        }
        let added = with.into_iter().map(|(uri, _)| uri.clone()).collect();
        self.note(CV_TERMS, added, removed);
        self.written.terms = written;
        Ok(())
    }

    /// A text for all languages. Answers what docent has written then.
    fn text(&mut self, name: Name, ours: Option<String>, wanted: Option<&str>) -> Option<String> {
        let there = self.packet.text(name).filter(|_| !self.packet.is_empty(name));
        self.put(name, (there, ours), wanted, |packet, text| packet.set_text(name, text))
    }

    /// A text that is the same in all languages.
    fn headline(&mut self, ours: Option<String>, wanted: Option<&str>) -> Option<String> {
        let there = self.packet.text(HEADLINE).filter(|_| !self.packet.is_empty(HEADLINE));
        self.put(HEADLINE, (there, ours), wanted, |packet, text| {
            packet.replace(HEADLINE, text.map(|text| New::text(HEADLINE, text)));
        })
    }

    fn put(
        &mut self,
        name: Name,
        (there, ours): (Option<String>, Option<String>),
        wanted: Option<&str>,
        set: impl Fn(&mut Packet, Option<&str>),
    ) -> Option<String> {
        let is_free = there.is_none() && self.packet.is_empty(name);
        let is_ours = there.is_some() && there == ours;
        if !is_free && !is_ours {
            if let Some(wanted) = wanted
                && there.as_deref() != Some(wanted)
            {
                self.merged.notes.push(format!("{name} stays: somebody else wrote it"));
            }
            return None;
        }
        if there.as_deref() != wanted {
            set(self.packet, wanted);
            self.note(name, wanted.map(str::to_owned).into_iter().collect(), there.into_iter().collect());
        }
        wanted.map(str::to_owned)
    }

    fn regions(&mut self, wanted: &Wanted) -> Result<(), PacketError> {
        let value = self.packet.get(REGION_INFO);
        let regions = value.as_ref().map(Regions::read).unwrap_or_default();
        let ours = std::mem::take(&mut self.written.regions);
        let key = |marked: &Option<Marked>| marked.as_ref().map(Marked::key);
        let there: Vec<Option<String>> = regions.list.iter().map(key).collect();
        let is_ours = |key: &Option<String>| key.as_ref().is_some_and(|key| ours.contains(key));
        let fits = wanted.regions.is_empty() || regions.fit(wanted.size);
        let nothing_else = match &value {
            Some(Value::Struct(fields)) => {
                fields.keys().all(|field| APPLIED_TO.is(field) || REGION_LIST.is(field))
            }
            _ => self.packet.is_empty(REGION_INFO),
        };
        if nothing_else && there.iter().all(is_ours) {
            self.written.regions = self.own_regions(wanted, there, fits);
            return Ok(());
        }
        if !fits {
            let note = format!("{REGION_INFO} stays: its regions are about a picture of another shape");
            self.merged.notes.push(note);
        }
        let wanted: Vec<&Marked> = wanted.regions.iter().filter(|_| fits).collect();
        let keys: Vec<String> = wanted.iter().map(|marked| marked.key()).collect();
        let others: Vec<&Marked> =
            regions.list.iter().flatten().filter(|marked| !ours.contains(&marked.key())).collect();
        let is_there = |index: usize, _: &HashSet<usize>| {
            wanted.get(index).is_some_and(|wanted| others.iter().any(|other| other.is_about(wanted)))
        };
        let Plan { without, with, written, removed } = plan(&there, &ours, &keys, is_there);
        if !without.is_empty() || !with.is_empty() {
            let items = with.iter().filter_map(|index| wanted.get(*index)).map(|marked| marked.item());
            self.packet.change_field(REGION_INFO, REGION_LIST, List::Bag, (&without, items.collect()))?;
        }
        let added = with.iter().filter_map(|index| keys.get(*index)).cloned().collect();
        self.note(REGION_INFO, added, removed);
        self.written.regions = written;
        Ok(())
    }

    /// Regions where there are none of others. Answers what docent has written then.
    fn own_regions(&mut self, wanted: &Wanted, there: Vec<Option<String>>, fits: bool) -> Vec<String> {
        let there: Vec<String> = there.into_iter().flatten().collect();
        let keys: Vec<String> = wanted.regions.iter().map(Marked::key).collect();
        let (added, removed) = (only(&keys, &there), only(&there, &keys));
        if !added.is_empty() || !removed.is_empty() || !fits {
            self.packet.take_out(REGION_INFO);
            if !keys.is_empty() {
                let items = wanted.regions.iter().map(Marked::item).collect();
                self.packet.add(&Regions::property(wanted.size, items));
            }
        }
        self.note(REGION_INFO, added, removed);
        keys
    }

    fn own_texts(&mut self, texts: &[String]) {
        let there = self.packet.get(TEXT).map(|value| value.texts()).unwrap_or_default();
        let items = texts.iter().map(|text| New::text(RDF_LI, text)).collect();
        let new = New::elements(TEXT, vec![New::elements(RDF_SEQ, items)]);
        self.packet.replace(TEXT, (!texts.is_empty()).then_some(new));
        self.note(TEXT, only(texts, &there), only(&there, texts));
    }
}

/// Those of `some` that are not among `others`.
fn only(some: &[String], others: &[String]) -> Vec<String> {
    some.iter().filter(|text| !others.contains(text)).cloned().collect()
}
