//! What docent keeps of its own in a packet: where each value comes from, and what it wrote into properties of others. By the
//! latter it can take out what is no longer accepted, and nothing else.

use docent_pipelines::Kind;

use super::names::{
    ACCEPTED, ENTRY, RDF_BAG, RDF_LI, RDF_PARSE_TYPE, RDF_SEQ, WRITTEN, WRITTEN_ALT_TEXT,
    WRITTEN_DESCRIPTION, WRITTEN_HEADLINE, WRITTEN_HIERARCHY, WRITTEN_REGIONS, WRITTEN_SUBJECT,
    WRITTEN_TAGS_LIST, WRITTEN_TERMS,
};
use super::packet::Packet;
use super::tree::{Name, New};
use super::value::Value;
use crate::export::Accepted;

/// What docent wrote into properties of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub subject: Vec<String>,
    pub hierarchy: Vec<String>,
    pub tags_list: Vec<String>,
    /// Addresses.
    pub terms: Vec<String>,
    /// Keys of regions.
    pub regions: Vec<String>,
    pub description: Option<String>,
    pub headline: Option<String>,
    pub alt_text: Option<String>,
}

impl Written {
    pub(super) fn read(packet: &Packet) -> Self {
        let all = packet.get(WRITTEN);
        let field = |name: Name| all.as_ref().and_then(|all| all.field(name));
        let list = |name| field(name).map(Value::texts).unwrap_or_default();
        let text = |name| field(name).and_then(Value::text).map(str::to_owned);
        Self {
            subject: list(WRITTEN_SUBJECT),
            hierarchy: list(WRITTEN_HIERARCHY),
            tags_list: list(WRITTEN_TAGS_LIST),
            terms: list(WRITTEN_TERMS),
            regions: list(WRITTEN_REGIONS),
            description: text(WRITTEN_DESCRIPTION),
            headline: text(WRITTEN_HEADLINE),
            alt_text: text(WRITTEN_ALT_TEXT),
        }
    }

    pub(super) fn write(&self, packet: &mut Packet) {
        let lists = [
            (WRITTEN_SUBJECT, &self.subject),
            (WRITTEN_HIERARCHY, &self.hierarchy),
            (WRITTEN_TAGS_LIST, &self.tags_list),
            (WRITTEN_TERMS, &self.terms),
            (WRITTEN_REGIONS, &self.regions),
        ];
        let texts = [
            (WRITTEN_DESCRIPTION, &self.description),
            (WRITTEN_HEADLINE, &self.headline),
            (WRITTEN_ALT_TEXT, &self.alt_text),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| {
            let items = list.iter().map(|text| New::text(RDF_LI, text)).collect();
            New::elements(name, vec![New::elements(RDF_BAG, items)])
        });
        let texts = texts.into_iter().filter_map(|(name, text)| Some(New::text(name, text.as_ref()?)));
        let fields: Vec<New> = lists.chain(texts).collect();
        let new = New::elements(WRITTEN, fields).with(RDF_PARSE_TYPE, "Resource");
        let is_empty = *self == Self::default();
        packet.replace(WRITTEN, (!is_empty).then_some(new));
    }
}

/// Where one value comes from: the fields of [`ENTRY`], in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry([Option<String>; ENTRY.len()]);

impl Entry {
    pub(super) fn of(accepted: &Accepted) -> Self {
        let Accepted { row, decided, term } = accepted;
        let region = row.region.map(|r| format!("{} {} {} {}", r.x, r.y, r.width, r.height));
        Self([
            Some(row.kind.as_str().to_owned()),
            Some(fit(&row.value)),
            term.as_ref().map(|term| fit(term.uri.as_ref().unwrap_or(&term.id))),
            region,
            Some(row.analyzer.as_str().to_owned()),
            Some(fit(row.model.id())),
            Some(fit(row.model.version())),
            Some(row.confidence.to_string()),
            decided.as_ref().map(|decided| fit(&decided.reviewer)),
            decided.as_ref().map(|decided| decided.at.clone()),
            Some(row.id.as_str().to_owned()),
        ])
    }

    /// The kind of the value; none of a kind that a newer docent wrote.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.0[0].as_deref().and_then(|kind| kind.parse().ok())
    }

    pub(super) fn read_all(packet: &Packet) -> Vec<Self> {
        let entry =
            |item: &Value| Self(ENTRY.map(|name| item.field(name).and_then(Value::text).map(str::to_owned)));
        packet.get(ACCEPTED).map(|all| all.items().into_iter().map(entry).collect()).unwrap_or_default()
    }

    pub(super) fn write_all(entries: &[Self], packet: &mut Packet) {
        let item = |entry: &Self| {
            let fields = ENTRY.iter().zip(&entry.0);
            let fields = fields.filter_map(|(name, text)| Some(New::text(*name, text.as_ref()?)));
            New::elements(RDF_LI, fields.collect()).with(RDF_PARSE_TYPE, "Resource")
        };
        let items: Vec<New> = entries.iter().map(item).collect();
        let new = New::elements(ACCEPTED, vec![New::elements(RDF_SEQ, items)]);
        packet.replace(ACCEPTED, (!entries.is_empty()).then_some(new));
    }
}

/// `text` without what XML 1.0 cannot hold.
pub(super) fn fit(text: &str) -> String {
    let holds = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(holds).collect()
}
