//! Whatever XML is read, it is written as it was.

use docent::export::xmp::{Packet, Tree, metadata};
use proptest::prelude::*;

/// Text that may stand between tags, with everything that is written in a special way.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ a-zé猫\\n\\t]{0,8}",
        Just("&amp;&lt;&gt;&#228;&#x1F431;".to_owned()),
        Just("\r\n".to_owned()),
        Just("<![CDATA[a < b]] > ]]>".to_owned()),
        Just("<!-- > <x> -->".to_owned()),
        Just("<?xpacket begin=\"\u{feff}\" > ?>".to_owned()),
    ];
    prop::collection::vec(piece, 0..3).prop_map(|pieces| pieces.concat())
}

fn element() -> impl Strategy<Value = String> {
    let name = || {
        prop_oneof![Just("rdf:li"), Just("dc:subject"), Just("x"), Just("rdf:Description"), Just("rdf:Bag")]
    };
    let attributes = prop_oneof![
        Just(""),
        Just(" rdf:about=\"a > b\""),
        Just(" dc:x = 'it&apos;s \"/>\"' rdf:y=\"\n&#xA;\""),
        Just("\n  xmlns:q='urn:q' q:z=''\n"),
        Just(" xmlns='urn:other' xml:lang='x-default' "),
        Just(" xmlns:dc='urn:hidden' dc:a=\"1\""),
    ];
    let leaf = (name(), attributes.clone()).prop_map(|(name, attributes)| format!("<{name}{attributes}/>"));
    leaf.prop_recursive(6, 64, 4, move |inner| {
        (name(), attributes.clone(), text(), prop::collection::vec((inner, text()), 0..4)).prop_map(
            |(name, attributes, first, inner)| {
                let inner: String = inner.into_iter().map(|(element, text)| element + &text).collect();
                format!("<{name}{attributes}>{first}{inner}</{name} >")
            },
        )
    })
}

fn document() -> impl Strategy<Value = String> {
    (element(), any::<bool>()).prop_map(|(element, is_declared)| {
        let declaration = if is_declared { "<?xml version='1.0'?>\r\n" } else { "" };
        format!(
            "{declaration}<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' \
             xmlns:dc='http://purl.org/dc/elements/1.1/'>{element}</rdf:RDF>\n<?xpacket end='w'?>\n\n"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_as_it_was(document in document()) {
        let tree = Tree::parse(&document).expect("is well-formed");
        prop_assert_eq!(tree.to_text(), document.clone());
        let packet = Packet::parse(document.as_bytes()).expect("is a packet");
        prop_assert_eq!(packet.to_bytes(), document.into_bytes());
        metadata(&packet);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[<>/a:= '\"!?&;#x\\[\\]-]{0,60}") {
        if let Ok(tree) = Tree::parse(&text) {
            prop_assert_eq!(tree.to_text(), text);
        }
    }
}

#[test]
fn deep_and_large_texts_are_refused_and_nothing_breaks() {
    let deep = format!("{}{}", "<a>".repeat(200_000), "</a>".repeat(200_000));
    assert!(Tree::parse(&deep).is_err());
    let many = format!("<a>{}</a>", "<b/>".repeat(600_000));
    assert!(Tree::parse(&many).is_err());
    let laughs = "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
    assert!(Tree::parse(laughs).is_err());
    assert!(Tree::parse("<a>&nbsp;</a>").is_err());
}
