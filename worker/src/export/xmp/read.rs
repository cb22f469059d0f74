//! What a packet says about a picture, whichever program wrote it.

use super::names::{
    ALT_TEXT, DESCRIPTION, HEADLINE, HIERARCHY, LAST_KEYWORD, PERSONS, REGION_INFO, SUBJECT, TAGS_LIST, TITLE,
};
use super::packet::Packet;
use super::regions::Regions;

/// Text in several languages: each with its language in lower case, if it names one.
pub type Texts = Vec<(Option<String>, String)>;

/// What a packet says about a picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Keywords (`dc:subject`).
    pub keywords: Vec<String>,
    /// Keywords with what is broader, from the top down (`lr:hierarchicalSubject`, `digiKam:TagsList`,
    /// `MicrosoftPhoto:LastKeywordXMP`); each once.
    pub paths: Vec<Vec<String>>,
    /// `dc:title`.
    pub title: Texts,
    /// `dc:description`.
    pub description: Texts,
    /// `photoshop:Headline`.
    pub headline: Option<String>,
    /// `Iptc4xmpCore:AltTextAccessibility`.
    pub alt_text: Texts,
    /// `Iptc4xmpExt:PersonInImage`.
    pub persons: Vec<String>,
    /// `mwg-rs:Regions`, in the orientation of the file.
    pub regions: Regions,
}

/// Reads what `packet` says. What is written in a form that XMP does not know says nothing.
pub fn metadata(packet: &Packet) -> Metadata {
    let list = |name| packet.get(name).map(|value| value.texts()).unwrap_or_default();
    let mut paths: Vec<Vec<String>> = Vec::new();
    for (name, below) in [(HIERARCHY, '|'), (TAGS_LIST, '/'), (LAST_KEYWORD, '/')] {
        for path in list(name) {
            let path: Vec<String> =
                path.split(below).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
            if !path.is_empty() && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    Metadata {
        keywords: list(SUBJECT),
        paths,
        title: packet.texts(TITLE),
        description: packet.texts(DESCRIPTION),
        headline: packet.get(HEADLINE).and_then(|value| value.text().map(str::to_owned)),
        alt_text: packet.texts(ALT_TEXT),
        persons: list(PERSONS),
        regions: packet.get(REGION_INFO).as_ref().map(Regions::read).unwrap_or_default(),
    }
}

impl Metadata {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_rdf_says_the_same() {
        let bag = "<dc:subject><rdf:Bag><rdf:li>cat</rdf:li><rdf:li>dög</rdf:li></rdf:Bag></dc:subject>";
        let numbered =
            "<dc:subject><rdf:Seq><rdf:_1>cat</rdf:_1><rdf:_2>d&#xF6;g</rdf:_2></rdf:Seq></dc:subject>";
        let qualified = "<dc:subject><rdf:Bag><rdf:li rdf:parseType='Resource'><rdf:value>cat</rdf:value>\
            <dc:x>q</dc:x></rdf:li><rdf:li><rdf:Description rdf:value='dög' dc:x='q'/></rdf:li></rdf:Bag></dc:subject>";
        let data = "<dc:subject><rdf:Bag><rdf:li><![CDATA[cat]]></rdf:li>\n<!-- a --><rdf:li>dög</rdf:li></rdf:Bag></dc:subject>";
        for subject in [bag, numbered, qualified, data] {
            let read = metadata(&packet(&format!("<rdf:Description>{subject}</rdf:Description>")));
            assert_eq!(read.keywords, ["cat", "dög"], "{subject}");
        }
        let two = packet(&format!(
            "<rdf:Description rdf:about='' dc:title='A title'/><rdf:Description rdf:about=''>{bag}</rdf:Description>"
        ));
        let read = metadata(&two);
        assert_eq!(read.title, [(None, "A title".to_owned())]);
        assert_eq!(read.keywords, ["cat", "dög"]);
        let lone = metadata(&packet("<rdf:Description dc:subject='cat'/>"));
        assert_eq!(lone.keywords, ["cat"]);
        let plain = metadata(&packet(
            "<rdf:Description><dc:description><rdf:Alt><rdf:li>plain</rdf:li></rdf:Alt></dc:description>\
             <dc:subject rdf:parseType='Literal'>cat</dc:subject></rdf:Description>",
        ));
        assert_eq!(plain.description, [(None, "plain".to_owned())]);
        assert!(plain.keywords.is_empty(), "that is no XMP");
    }

    #[test]
    fn structs_are_read_in_every_form() {
        let ns = "xmlns:mwg-rs='http://www.metadataworkinggroup.com/schemas/regions/' \
            xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#' xmlns:stDim='http://ns.adobe.com/xap/1.0/sType/Dimensions#'";
        let nested = "<mwg-rs:Regions><rdf:Description><mwg-rs:AppliedToDimensions stDim:w='40' stDim:h='30' stDim:unit='pixel'/>\
            <mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Type='Face' mwg-rs:Name='Ada'>\
            <mwg-rs:Area stArea:x='0.5' stArea:y='0.5' stArea:w='0.2' stArea:h='0.4' stArea:unit='normalized'/>\
            </rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></rdf:Description></mwg-rs:Regions>";
        let resources = "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:AppliedToDimensions rdf:parseType='Resource'>\
            <stDim:w>40</stDim:w><stDim:h>30</stDim:h></mwg-rs:AppliedToDimensions><mwg-rs:RegionList><rdf:Seq>\
            <rdf:li rdf:parseType='Resource'><mwg-rs:Area><rdf:Description><stArea:x>.5</stArea:x><stArea:y>0.50</stArea:y>\
            <stArea:w>0.2</stArea:w><stArea:h>0.4</stArea:h></rdf:Description></mwg-rs:Area><mwg-rs:Name>Ada</mwg-rs:Name>\
            <mwg-rs:Type>Face</mwg-rs:Type></rdf:li></rdf:Seq></mwg-rs:RegionList></mwg-rs:Regions>";
        let regions = |form: &str| {
            metadata(&packet(&format!("<rdf:Description {ns}>{form}</rdf:Description>"))).regions
        };
        assert_eq!(regions(nested), regions(resources));
        let read = regions(nested);
        assert_eq!(read.size, Some((40.0, 30.0)));
        let face = read.list[0].as_ref().expect("is read");
        assert_eq!((face.name.as_deref(), face.kind.as_deref()), (Some("Ada"), Some("Face")));
        assert!((face.area.x - 0.4).abs() < 1e-9 && (face.area.y - 0.3).abs() < 1e-9);
    }

    fn packet(descriptions: &str) -> Packet {
        let text = format!(
            "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' \
             xmlns:dc='http://purl.org/dc/elements/1.1/'>{descriptions}</rdf:RDF></x:xmpmeta>"
        );
        Packet::parse(text.as_bytes()).expect("is a packet")
    }

    #[test]
    fn an_empty_packet_says_nothing() {
        let packet = Packet::empty().expect("is a packet");
        assert!(metadata(&packet).is_empty());
    }
}
