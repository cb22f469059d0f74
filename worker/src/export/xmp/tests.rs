//! What was accepted, brought into packets of others and taken out of them again.

use docent_pipelines::Kind;

use super::merge::{Merged, merge};
use super::names::{
    ACCEPTED, ALT_TEXT, CV_TERMS, DESCRIPTION, HEADLINE, HIERARCHY, REGION_INFO, SUBJECT, TAGS_LIST, TEXT,
    WRITTEN,
};
use super::packet::Packet;
use super::read::metadata;
use super::regions::{Area, Marked};
use super::wanted::{Scope, Wanted};

const NAMESPACES: &str = "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' \
    xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:lr='http://ns.adobe.com/lightroom/1.0/' \
    xmlns:darktable='http://darktable.sf.net/' xmlns:crs='http://ns.adobe.com/camera-raw-settings/1.0/' \
    xmlns:mwg-rs='http://www.metadataworkinggroup.com/schemas/regions/' \
    xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#'";

/// A packet with these descriptions.
fn packet(descriptions: &str) -> Packet {
    let text = format!("<rdf:RDF {NAMESPACES}>{descriptions}</rdf:RDF>");
    Packet::parse(text.as_bytes()).expect("is a packet")
}

fn marked(kind: Option<&str>, name: Option<&str>, [x, y, width, height]: [f64; 4]) -> Marked {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Marked { kind: owned(kind), name: owned(name), area: Area { x, y, width, height } }
}

/// Something of everything.
fn everything() -> Wanted {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Wanted {
        keywords: texts(&["Käuzchen", "bird"]),
        paths: vec![texts(&["animal", "bird", "Käuzchen"]), texts(&["and/or", "a|b"])],
        terms: vec![("http://example.org/owl".to_owned(), "Käuzchen".to_owned())],
        description: Some("an owl <at> night & day".to_owned()),
        alt_text: Some("An owl.".to_owned()),
        texts: texts(&["line 1", "line 2\nline 3"]),
        regions: vec![
            marked(Some("Face"), None, [0.1, 0.1, 0.2, 0.2]),
            marked(None, Some("owl"), [0.5, 0.5, 0.3, 0.25]),
        ],
        size: (400, 300),
        ..Wanted::default()
    }
}

fn merged(packet: &mut Packet, wanted: &Wanted) -> Merged {
    let merged = merge(packet, wanted).expect("is merged");
    let before = packet.to_bytes();
    let again = merge(packet, wanted).expect("is merged");
    assert_eq!(again.changes, [], "a second time changes nothing");
    assert_eq!(packet.to_bytes(), before);
    let read = Packet::parse(&before).expect("is a packet");
    assert!(read.is_like(packet), "{}", String::from_utf8_lossy(&before));
    merged
}

#[test]
fn everything_that_was_accepted_is_read_again_and_taken_out_again() {
    let mut packet = Packet::empty().expect("is a packet");
    let changes = merged(&mut packet, &everything()).changes;
    assert_eq!(changes.len(), 8, "{changes:?}");
    let read = metadata(&packet);
    assert_eq!(read.keywords, ["Käuzchen", "bird"]);
    assert_eq!(packet.get(HIERARCHY).expect("is there").texts(), ["animal|bird|Käuzchen", "and/or|a-b"]);
    assert_eq!(packet.get(TAGS_LIST).expect("is there").texts(), ["animal/bird/Käuzchen", "and-or/a|b"]);
    assert_eq!(read.description, [(Some("x-default".to_owned()), "an owl <at> night & day".to_owned())]);
    assert_eq!(read.alt_text[0].1, "An owl.");
    assert_eq!(read.regions.size, Some((400.0, 300.0)));
    assert_eq!(read.regions.list.len(), 2);
    assert_eq!(read.regions.list[1].as_ref().expect("is read").key(), everything().regions[1].key());
    assert_eq!(packet.get(TEXT).expect("is there").texts(), ["line 1", "line 2\nline 3"]);
    let text = String::from_utf8(packet.to_bytes()).expect("is UTF-8");
    assert!(text.contains("\n   <dc:subject>\n    <rdf:Bag>\n     <rdf:li>Käuzchen</rdf:li>\n"), "{text}");
    merged(&mut packet, &Wanted::default());
    for name in [
        SUBJECT,
        HIERARCHY,
        TAGS_LIST,
        CV_TERMS,
        DESCRIPTION,
        HEADLINE,
        ALT_TEXT,
        REGION_INFO,
        TEXT,
        ACCEPTED,
        WRITTEN,
    ] {
        assert_eq!(packet.get(name), None, "{name}");
    }
}

#[test]
fn what_others_wrote_is_neither_removed_nor_replaced() {
    let others = "<rdf:Description rdf:about='' crs:Exposure2012='+0.50' darktable:history_end=\"7\">\
        <dc:subject><rdf:Bag><rdf:li>BIRD</rdf:li><rdf:li>harbor</rdf:li></rdf:Bag></dc:subject>\
        <dc:description><rdf:Alt><rdf:li xml:lang='x-default'>My own words</rdf:li></rdf:Alt></dc:description>\
        <lr:weightedFlatSubject><rdf:Bag><rdf:li>harbor</rdf:li></rdf:Bag></lr:weightedFlatSubject><!-- mine -->\
        <mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType='Resource'>\
        <mwg-rs:Type>Face</mwg-rs:Type><mwg-rs:Name>Ada</mwg-rs:Name><mwg-rs:Area stArea:x='0.2' stArea:y='0.2' \
        stArea:w='0.21' stArea:h='0.21' stArea:unit='normalized'/></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>\
        </rdf:Description>";
    let original = packet(others);
    let mut packet = original.clone();
    let Merged { changes, notes } = merged(&mut packet, &everything());
    let read = metadata(&packet);
    assert_eq!(read.keywords, ["BIRD", "harbor", "Käuzchen"], "a keyword in another spelling is there");
    assert_eq!(read.description[0].1, "My own words");
    assert_eq!(notes, ["dc:description stays: somebody else wrote it"]);
    assert_eq!(read.regions.list.len(), 2, "the face is marked before, the owl is not");
    assert!(changes.iter().any(|change| change.property == "mwg-rs:Regions" && change.added.len() == 1));
    let text = String::from_utf8(packet.to_bytes()).expect("is UTF-8");
    assert!(text.contains("crs:Exposure2012='+0.50' darktable:history_end=\"7\""), "{text}");
    assert!(text.contains("</lr:weightedFlatSubject><!-- mine -->"), "{text}");
    merged(&mut packet, &Wanted::default());
    assert_eq!(metadata(&packet), metadata(&original));
}

#[test]
fn a_text_of_docents_own_is_replaced_until_somebody_changes_it() {
    let of = |text: Option<&str>| Wanted { description: text.map(str::to_owned), ..Wanted::default() };
    for (before, others) in [
        ("", 0),
        ("<dc:description/>", 0),
        ("<dc:description><rdf:Alt><rdf:li xml:lang='x-default'></rdf:li></rdf:Alt></dc:description>", 0),
    ] {
        let mut packet = packet(&format!("<rdf:Description>{before}</rdf:Description>"));
        merged(&mut packet, &of(Some("one")));
        merged(&mut packet, &of(Some("two")));
        assert_eq!(packet.texts(DESCRIPTION), [(Some("x-default".to_owned()), "two".to_owned())], "{before}");
        // In another program's form, and with a translation.
        packet.set_text(DESCRIPTION, Some("two"));
        merged(&mut packet, &of(None));
        assert_eq!(packet.texts(DESCRIPTION).len(), others, "{before}");
        merged(&mut packet, &of(Some("three")));
        packet.set_text(DESCRIPTION, Some("mine"));
        merged(&mut packet, &of(Some("four")));
        merged(&mut packet, &of(None));
        assert_eq!(packet.text(DESCRIPTION).as_deref(), Some("mine"));
    }
    let mut attribute = packet("<rdf:Description dc:description='as an attribute' dc:format='image/jpeg'/>");
    merged(&mut attribute, &of(Some("other")));
    assert_eq!(attribute.text(DESCRIPTION).as_deref(), Some("as an attribute"));
    attribute.set_text(DESCRIPTION, Some("element"));
    let text = String::from_utf8(attribute.to_bytes()).expect("is UTF-8");
    assert!(text.contains("<rdf:Description dc:format='image/jpeg'>\n"), "{text}");
    let mut translated = packet(
        "<rdf:Description><dc:description><rdf:Alt><rdf:li xml:lang='de'>Eule</rdf:li>\
         <rdf:li xml:lang='x-default'>owl</rdf:li></rdf:Alt></dc:description></rdf:Description>",
    );
    translated.set_text(DESCRIPTION, Some("an owl"));
    translated.set_text(DESCRIPTION, None);
    assert_eq!(translated.texts(DESCRIPTION), [(Some("de".to_owned()), "Eule".to_owned())]);
}

#[test]
fn one_kind_leaves_what_was_written_of_others() {
    let mut packet = Packet::empty().expect("is a packet");
    merged(&mut packet, &everything());
    let before = metadata(&packet);
    merged(&mut packet, &Wanted { scope: Scope(Some(Kind::Tag)), ..Wanted::default() });
    let read = metadata(&packet);
    assert!(read.keywords.is_empty() && read.paths.is_empty());
    assert_eq!(
        (read.description, read.alt_text, read.regions),
        (before.description, before.alt_text, before.regions)
    );
    merged(&mut packet, &Wanted::default());
    assert!(metadata(&packet).is_empty(), "what is still there is known to be docent's");
}

#[test]
fn lists_in_other_forms_stay_whole() {
    let keywords = |before: &str| {
        let mut packet = packet(before);
        merged(&mut packet, &Wanted { keywords: vec!["new".to_owned()], ..Wanted::default() });
        let with = metadata(&packet).keywords;
        merged(&mut packet, &Wanted::default());
        (with, metadata(&packet).keywords)
    };
    let both = |with: &[&str], without: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        (owned(with), owned(without))
    };
    for (before, expected) in [
        ("<rdf:Description dc:subject='old'/>", both(&["old", "new"], &["old"])),
        ("<rdf:Description><dc:subject>old</dc:subject></rdf:Description>", both(&["old", "new"], &["old"])),
        ("<rdf:Description><dc:subject/></rdf:Description>", both(&["new"], &[])),
        (
            "<rdf:Description><dc:subject><rdf:Seq><rdf:li>old</rdf:li></rdf:Seq></dc:subject></rdf:Description>",
            both(&["old", "new"], &["old"]),
        ),
        ("<rdf:Description><dc:subject><rdf:Bag/></dc:subject></rdf:Description>", both(&["new"], &[])),
        (
            "<rdf:Description dc:title='t'/><rdf:Description><dc:subject><rdf:Bag><rdf:li>old</rdf:li></rdf:Bag></dc:subject></rdf:Description>",
            both(&["old", "new"], &["old"]),
        ),
        ("", both(&["new"], &[])),
    ] {
        assert_eq!(keywords(before), expected, "{before}");
    }
    let mut odd = packet(
        "<rdf:Description><dc:subject rdf:parseType='Literal'><b>old</b></dc:subject></rdf:Description>",
    );
    let before = odd.to_bytes();
    let error = merge(&mut odd, &Wanted { keywords: vec!["new".to_owned()], ..Wanted::default() })
        .expect_err("is refused");
    assert_eq!(error.to_string(), "dc:subject is written in a form that docent does not change");
    assert_eq!(odd.to_bytes(), before);
}

#[test]
fn prefixes_that_others_use_for_something_else_are_left_to_them() {
    let text = "<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:dc='urn:other'>\
        <r:Description xmlns:lr='urn:another'><dc:x lr:y='1'/></r:Description></r:RDF>";
    let mut packet = Packet::parse(text.as_bytes()).expect("is a packet");
    merged(&mut packet, &everything());
    assert_eq!(metadata(&packet).keywords, ["Käuzchen", "bird"]);
    let written = String::from_utf8(packet.to_bytes()).expect("is UTF-8");
    assert!(written.contains("<dc:x lr:y='1'/>") && written.contains("xmlns:dc2="), "{written}");
    assert!(written.contains("<r:Bag>"), "{written}");
}

#[test]
fn regions_of_another_shape_are_left_alone() {
    let turned = Wanted { size: (300, 400), ..everything() };
    let mut own = Packet::empty().expect("is a packet");
    merged(&mut own, &everything());
    merged(&mut own, &turned);
    assert_eq!(metadata(&own).regions.size, Some((300.0, 400.0)), "docent writes its own again");
    let face = Wanted {
        regions: vec![marked(Some("Face"), Some("Ada"), [0.7, 0.1, 0.2, 0.2])],
        size: (400, 300),
        ..Wanted::default()
    };
    let mut theirs = Packet::empty().expect("is a packet");
    theirs
        .add(&super::regions::Regions::property(face.size, face.regions.iter().map(Marked::item).collect()));
    let before = metadata(&theirs).regions;
    let Merged { notes, changes } = merged(&mut theirs, &turned);
    assert_eq!(notes, ["mwg-rs:Regions stays: its regions are about a picture of another shape"]);
    assert!(changes.iter().all(|change| change.property != "mwg-rs:Regions"), "{changes:?}");
    assert_eq!(metadata(&theirs).regions, before);
}
