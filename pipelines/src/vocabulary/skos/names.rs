//! The addresses of SKOS and its neighbors.

pub(super) const SKOS: &str = "http://www.w3.org/2004/02/skos/core#";
pub(super) const SKOSXL: &str = "http://www.w3.org/2008/05/skos-xl#";
pub(super) const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
pub(super) const RDFS: &str = "http://www.w3.org/2000/01/rdf-schema#";
pub(super) const OWL: &str = "http://www.w3.org/2002/07/owl#";
/// docent's own: what SKOS has no words for.
pub(super) const DOCENT: &str = "https://docent.example/ns/vocabulary#";
/// The scheme that docent writes. It shows that docent wrote the file.
pub(super) const SCHEME: &str = "urn:docent:vocabulary";

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    Type,
    Label(crate::vocabulary::Role),
    XlLabel(crate::vocabulary::Role),
    LiteralForm,
    Value,
    RdfsLabel,
    Broader,
    Narrower,
    Member,
    ScopeNote,
    Definition,
    Notation,
    Deprecated,
    Id,
    Prompt,
    Threshold,
    Enabled,
    Heading,
    /// Says nothing that docent does not know already.
    Implied,
    /// docent does not keep it.
    Other,
}

impl Property {
    pub(super) fn of(iri: &str) -> Self {
        use crate::vocabulary::Role::{Alternative, Hidden, Preferred};
        if let Some(name) = iri.strip_prefix(SKOS) {
            match name {
                "prefLabel" => Self::Label(Preferred),
                "altLabel" => Self::Label(Alternative),
                "hiddenLabel" => Self::Label(Hidden),
                "broader" => Self::Broader,
                "narrower" => Self::Narrower,
                "member" => Self::Member,
                "scopeNote" => Self::ScopeNote,
                "definition" => Self::Definition,
                "notation" => Self::Notation,
                "broaderTransitive" | "narrowerTransitive" | "topConceptOf" | "hasTopConcept"
                | "inScheme" => Self::Implied,
                _ => Self::Other,
            }
        } else if let Some(name) = iri.strip_prefix(SKOSXL) {
            match name {
                "prefLabel" => Self::XlLabel(Preferred),
                "altLabel" => Self::XlLabel(Alternative),
                "hiddenLabel" => Self::XlLabel(Hidden),
                "literalForm" => Self::LiteralForm,
                _ => Self::Other,
            }
        } else if let Some(name) = iri.strip_prefix(DOCENT) {
            match name {
                "id" => Self::Id,
                "prompt" => Self::Prompt,
                "threshold" => Self::Threshold,
                "enabled" => Self::Enabled,
                "heading" => Self::Heading,
                "version" => Self::Implied,
                _ => Self::Other,
            }
        } else if let Some(name) = iri.strip_prefix(RDF) {
            match name {
                "type" => Self::Type,
                "value" => Self::Value,
                _ => Self::Other,
            }
        } else if iri.strip_prefix(RDFS) == Some("label") {
            Self::RdfsLabel
        } else if iri.strip_prefix(OWL) == Some("deprecated") {
            Self::Deprecated
        } else {
            Self::Other
        }
    }
}
