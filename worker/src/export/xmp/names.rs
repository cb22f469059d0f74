//! The names of what docent reads and writes: namespaces with the prefixes that everybody uses for them.

use super::tree::Name;

/// RDF.
pub(super) const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
/// XML's own, which needs no declaration.
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// docent's own: where the values come from, and what docent wrote into properties of others.
pub(super) const DOCENT: &str = "urn:docent:xmp:1.0/";

const DC: &str = "http://purl.org/dc/elements/1.1/";
const LIGHTROOM: &str = "http://ns.adobe.com/lightroom/1.0/";
const DIGIKAM: &str = "http://www.digikam.org/ns/1.0/";
const MICROSOFT: &str = "http://ns.microsoft.com/photo/1.0/";
const PHOTOSHOP: &str = "http://ns.adobe.com/photoshop/1.0/";
const IPTC_CORE: &str = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/";
const IPTC_EXT: &str = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
const REGIONS: &str = "http://www.metadataworkinggroup.com/schemas/regions/";
const AREA: &str = "http://ns.adobe.com/xmp/sType/Area#";
const DIMENSIONS: &str = "http://ns.adobe.com/xap/1.0/sType/Dimensions#";

const fn name(namespace: &'static str, prefix: &'static str, local: &'static str) -> Name {
    Name { namespace, prefix, local }
}

const fn own(local: &'static str) -> Name {
    name(DOCENT, "docent", local)
}

pub(super) const RDF_RDF: Name = name(RDF, "rdf", "RDF");
pub(super) const RDF_DESCRIPTION: Name = name(RDF, "rdf", "Description");
pub(super) const RDF_ABOUT: Name = name(RDF, "rdf", "about");
pub(super) const RDF_BAG: Name = name(RDF, "rdf", "Bag");
pub(super) const RDF_SEQ: Name = name(RDF, "rdf", "Seq");
pub(super) const RDF_ALT: Name = name(RDF, "rdf", "Alt");
pub(super) const RDF_LI: Name = name(RDF, "rdf", "li");
pub(super) const RDF_VALUE: Name = name(RDF, "rdf", "value");
pub(super) const RDF_RESOURCE: Name = name(RDF, "rdf", "resource");
pub(super) const RDF_PARSE_TYPE: Name = name(RDF, "rdf", "parseType");
pub(super) const XML_LANG: Name = name(XML, "xml", "lang");

pub(super) const SUBJECT: Name = name(DC, "dc", "subject");
pub(super) const TITLE: Name = name(DC, "dc", "title");
pub(super) const DESCRIPTION: Name = name(DC, "dc", "description");
pub(super) const HIERARCHY: Name = name(LIGHTROOM, "lr", "hierarchicalSubject");
pub(super) const TAGS_LIST: Name = name(DIGIKAM, "digiKam", "TagsList");
pub(super) const LAST_KEYWORD: Name = name(MICROSOFT, "MicrosoftPhoto", "LastKeywordXMP");
pub(super) const HEADLINE: Name = name(PHOTOSHOP, "photoshop", "Headline");
pub(super) const ALT_TEXT: Name = name(IPTC_CORE, "Iptc4xmpCore", "AltTextAccessibility");
pub(super) const PERSONS: Name = name(IPTC_EXT, "Iptc4xmpExt", "PersonInImage");
pub(super) const CV_TERMS: Name = name(IPTC_EXT, "Iptc4xmpExt", "AboutCvTerm");
pub(super) const CV_TERM_ID: Name = name(IPTC_EXT, "Iptc4xmpExt", "CvTermId");
pub(super) const CV_TERM_NAME: Name = name(IPTC_EXT, "Iptc4xmpExt", "CvTermName");

pub(super) const REGION_INFO: Name = name(REGIONS, "mwg-rs", "Regions");
pub(super) const APPLIED_TO: Name = name(REGIONS, "mwg-rs", "AppliedToDimensions");
pub(super) const REGION_LIST: Name = name(REGIONS, "mwg-rs", "RegionList");
pub(super) const REGION_AREA: Name = name(REGIONS, "mwg-rs", "Area");
pub(super) const REGION_TYPE: Name = name(REGIONS, "mwg-rs", "Type");
pub(super) const REGION_NAME: Name = name(REGIONS, "mwg-rs", "Name");
pub(super) const AREA_X: Name = name(AREA, "stArea", "x");
pub(super) const AREA_Y: Name = name(AREA, "stArea", "y");
pub(super) const AREA_W: Name = name(AREA, "stArea", "w");
pub(super) const AREA_H: Name = name(AREA, "stArea", "h");
pub(super) const AREA_UNIT: Name = name(AREA, "stArea", "unit");
pub(super) const DIM_W: Name = name(DIMENSIONS, "stDim", "w");
pub(super) const DIM_H: Name = name(DIMENSIONS, "stDim", "h");
pub(super) const DIM_UNIT: Name = name(DIMENSIONS, "stDim", "unit");

/// An entry for each accepted value.
pub(super) const ACCEPTED: Name = own("Accepted");
/// What was read in the picture.
pub(super) const TEXT: Name = own("Text");
/// What docent wrote into properties of others.
pub(super) const WRITTEN: Name = own("Written");
pub(super) const WRITTEN_SUBJECT: Name = own("Subject");
pub(super) const WRITTEN_HIERARCHY: Name = own("HierarchicalSubject");
pub(super) const WRITTEN_TAGS_LIST: Name = own("TagsList");
pub(super) const WRITTEN_TERMS: Name = own("AboutCvTerm");
pub(super) const WRITTEN_REGIONS: Name = own("Regions");
pub(super) const WRITTEN_DESCRIPTION: Name = own("Description");
pub(super) const WRITTEN_HEADLINE: Name = own("Headline");
pub(super) const WRITTEN_ALT_TEXT: Name = own("AltText");

/// The fields of an entry of [`ACCEPTED`]; the first is the kind.
pub(super) const ENTRY: [Name; 11] = [
    own("Kind"),
    own("Value"),
    own("Term"),
    own("Region"),
    own("Analyzer"),
    own("Model"),
    own("Version"),
    own("Confidence"),
    own("AcceptedBy"),
    own("AcceptedAt"),
    own("Suggestion"),
];
