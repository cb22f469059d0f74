//! SKOS: concepts, their labels and what is broader, as public thesauri are published.
//!
//! Labels are read from SKOS and from SKOS-XL, scope notes also from definitions. A collection is a heading, and its
//! members are below it. A deprecated concept is off. docent writes all terms as concepts; what SKOS has no words for
//! stands in docent's own namespace, so nothing is lost. A term without an address is `urn:docent:term:` and its id.

mod assemble;
mod gather;
mod names;
mod rdfxml;
mod triples;
mod turtle;
mod xml;

pub(super) use rdfxml::{read as read_rdfxml, text as xml_text, write as write_rdfxml};
pub(super) use turtle::{read as read_turtle, write as write_turtle};
