//! Sidecars of other programs lose nothing, whichever shape they have.

use docent::export::xmp::Packet;
use serde_json::{Map, Value};

use super::shelf::{Shelf, dump, everything, exiftool_writes, picture, texts};

/// As digiKam and other programs with Exiv2 write: simple values as attributes, lists as elements.
const DIGIKAM: &str = r#"<?xpacket begin="﻿" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
    digiKam:PickLabel="2"
    digiKam:ColorLabel="5"
    xmp:Rating="3"
    MicrosoftPhoto:Rating="50">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Menschen/Änne</rdf:li>
     <rdf:li>Orte/Hafen</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <MicrosoftPhoto:LastKeywordXMP>
    <rdf:Bag>
     <rdf:li>Orte/Hafen</rdf:li>
    </rdf:Bag>
   </MicrosoftPhoto:LastKeywordXMP>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Änne</rdf:li>
     <rdf:li>Hafen</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Änne" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:x="0.71" stArea:y="0.72" stArea:w="0.1" stArea:h="0.2" stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"#;

/// As Lightroom and Camera Raw write: everything in one description, structs as nested descriptions, settings of the developer.
const LIGHTROOM: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00-00:00:00">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="5"
   xmp:MetadataDate="2026-03-01T10:00:00+01:00"
   xmpMM:DocumentID="xmp.did:0f0f0f0f"
   dc:format="image/jpeg"
   crs:Version="15.4"
   crs:Exposure2012="+0.35"
   crs:HasSettings="True">
   <xmpMM:History>
    <rdf:Seq>
     <rdf:li
      stEvt:action="saved"
      stEvt:when="2026-03-01T10:00:00+01:00"
      stEvt:changed="/metadata"/>
    </rdf:Seq>
   </xmpMM:History>
   <dc:description>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">Der Hafen im Winter</rdf:li>
    </rdf:Alt>
   </dc:description>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>harbor</rdf:li>
     <rdf:li>winter</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>places|harbor</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
   <crs:Look>
    <rdf:Description
     crs:Name="Adobe Color"
     crs:Amount="1">
    <crs:Parameters>
     <rdf:Description
      crs:Version="15.4"/>
    </crs:Parameters>
    </rdf:Description>
   </crs:Look>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"#;

/// As darktable writes: a declaration, a history of what was done to the picture, drawn masks.
const DARKTABLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2026:01:02 03:04:05.678"
   xmp:Rating="1"
   darktable:xmp_version="5"
   darktable:raw_params="0"
   darktable:auto_presets_applied="1"
   darktable:history_end="2"
   darktable:iop_order_version="4">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="colorin"
      darktable:enabled="1"
      darktable:params="gz48eJzjYhgFowABWAbaAaNgwAEAEDgABg=="
      darktable:multi_name=""/>
     <rdf:li
      darktable:num="1"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:params="00000000000000000000003f"
      darktable:multi_name="heller &amp; wärmer"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"#;

/// Old and odd, and still read by everybody: a description for each namespace, other prefixes, a lone value where a list belongs.
const ODD: &str = "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\
<rdf:Description rdf:about='uuid:1' xmlns:xap='http://ns.adobe.com/xap/1.0/' xap:Rating='2'/>\
<rdf:Description rdf:about='uuid:1' xmlns:d='http://purl.org/dc/elements/1.1/'><d:subject>lone</d:subject>\
<d:title><rdf:Alt><rdf:li>plain</rdf:li></rdf:Alt></d:title></rdf:Description></rdf:RDF>";

/// What docent writes, as exiftool names it.
const OURS: [&str; 9] = [
    "XMP-dc:Subject",
    "XMP-dc:Description",
    "XMP-lr:HierarchicalSubject",
    "XMP-digiKam:TagsList",
    "XMP-iptcCore:AltTextAccessibility",
    "XMP-iptcExt:AboutCvTerm",
    "XMP-mwg-rs:RegionInfo",
    "XMP-docent:Text",
    "XMP-docent:Accepted",
];

fn wide(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("no object: {other}"),
    }
}

/// Everything of `before` is in `after`; what is more is docent's.
fn keeps(name: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
    for (key, value) in before {
        let now = after.get(key).unwrap_or_else(|| panic!("{name}: {key} is lost"));
        match key.as_str() {
            "XMP-mwg-rs:RegionInfo" => {
                let list = |value: &Value| value["RegionList"].as_array().cloned().expect("a list");
                assert!(list(now).starts_with(&list(value)), "{name}: {key}: {value} {now}");
            }
            key if OURS.contains(&key) => {
                assert!(texts(now).starts_with(&texts(value)), "{name}: {key}: {value} {now}");
            }
            _ => assert_eq!(now, value, "{name}: {key}"),
        }
    }
    for key in after.keys().filter(|key| !before.contains_key(*key)) {
        assert!(OURS.contains(&key.as_str()) || key == "XMP-docent:Written", "{name}: {key} is nobody's");
    }
}

#[test]
fn nothing_that_others_wrote_is_lost() {
    let shelf = Shelf::new();
    let shapes: [(&str, Vec<u8>); 6] = [
        ("digikam", DIGIKAM.into()),
        ("lightroom", LIGHTROOM.into()),
        ("darktable", DARKTABLE.into()),
        ("odd", ODD.into()),
        ("wide", wide(&DIGIKAM.replace("Hafen", "Häfen"))),
        ("marked", format!("\u{feff}{DARKTABLE}").into()),
    ];
    for (number, (name, bytes)) in shapes.iter().enumerate() {
        shelf.add(format!("{name}.png"), &picture(number as u8), everything());
        shelf.write(format!("{name}.png.xmp"), bytes);
    }
    // One that exiftool writes itself.
    shelf.add("exiftool.png", &picture(100), everything());
    shelf.write("exiftool.png.xmp", Packet::empty().expect("is a packet").to_bytes());
    let region = "-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=80,H=60,Unit=pixel},RegionList=[{Area={X=0.15,Y=0.3,\
        W=0.1,H=0.2,Unit=normalized},Name=Ada Lovelace,Type=Face}]}";
    exiftool_writes(
        &[
            "-XMP-dc:Subject=hers",
            "-XMP-dc:Subject=KÄUZCHEN",
            "-XMP-dc:Description-de=Auf Deutsch",
            "-XMP-crs:Exposure2012=+0.5",
            "-XMP-xmpMM:DocumentID=xmp.did:1",
            "-XMP-iptcExt:PersonInImage=Ada Lovelace",
            "-XMP-exif:GPSLatitude=53.5",
            "-XMP-iptcExt:AboutCvTerm={CvTermId=http://example.org/owl,CvTermName=owl}",
            region,
        ],
        &shelf.path("exiftool.png.xmp"),
    );
    let names: Vec<&str> = shapes.iter().map(|(name, _)| *name).chain(["exiftool"]).collect();
    let sidecar = |name: &str| shelf.path(format!("{name}.png.xmp"));
    let all =
        || -> Vec<Map<String, Value>> { names.iter().map(|name| fields(dump(&sidecar(name)))).collect() };
    let before = all();
    shelf.accept();
    let (told, numbers) = shelf.told(&[]);
    assert_eq!(numbers["changed"], names.len(), "{told:?}");
    let after = all();
    for ((name, before), after) in names.iter().zip(&before).zip(&after) {
        keeps(name, before, after);
        let words = after.get("XMP-dc:Subject").unwrap_or_else(|| panic!("{name}: {after:?}"));
        assert!(texts(words).contains(&"塔 & <башня>".to_owned()), "{name}: {words}");
        assert!(after.contains_key("XMP-docent:Accepted"), "{name}");
    }
    // What somebody else says already is not said again.
    let own = &after[names.len() - 1];
    assert!(!texts(&own["XMP-dc:Subject"]).contains(&"Käuzchen".to_owned()), "{own:?}");
    assert_eq!(own["XMP-iptcExt:AboutCvTerm"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        own["XMP-mwg-rs:RegionInfo"]["RegionList"].as_array().map(Vec::len),
        Some(2),
        "one face, one bird"
    );
    assert_eq!(after[1]["XMP-dc:Description"], "Der Hafen im Winter");
    // The encoding and what stands between the values are as they were.
    assert!(std::fs::read(sidecar("wide")).expect("is there").starts_with(b"\xfe\xff"));
    assert!(std::fs::read(sidecar("marked")).expect("is there").starts_with(b"\xef\xbb\xbf<?xml"));
    let darktable = std::fs::read_to_string(sidecar("darktable")).expect("is text");
    let history = &DARKTABLE[DARKTABLE.find("   exif:DateTimeOriginal").expect("is there")..];
    let history = &history[..history.find("  </rdf:Description>").expect("is there")];
    let (attributes, elements) = history.split_once("version=\"4\"").expect("is there");
    assert!(
        darktable.contains(attributes) && darktable.contains(elements.trim_start_matches('>')),
        "{darktable}"
    );
    // Another program rewrites the whole file, and docent still knows its own values.
    for name in &names {
        exiftool_writes(&["-XMP-xmp:Label=seen"], &sidecar(name));
    }
    let (told, numbers) = shelf.told(&[]);
    assert_eq!(numbers["unchanged"], names.len(), "{told:?}");
    shelf.undo(None);
    let (_, numbers) = shelf.told(&[]);
    assert_eq!(numbers["changed"], names.len());
    for ((name, mut before), mut left) in names.iter().zip(before).zip(all()) {
        assert_eq!(left.remove("XMP-xmp:Label"), Some("seen".into()), "{name}");
        for dump in [&mut before, &mut left] {
            // exiftool says which program wrote last, and makes a list of a lone value.
            dump.remove("XMP-x:XMPToolkit");
            // It does not keep empty lists.
            dump.remove("XMP-darktable:Masks_history");
            if let Some(words) = dump.get_mut("XMP-dc:Subject") {
                *words = texts(words).into();
            }
        }
        assert_eq!(left, before, "{name}");
    }
}
