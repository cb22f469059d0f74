//! Files in and out: what each format keeps, and that no bytes do harm.

use proptest::prelude::*;

use super::*;

mod damage;
mod made;

const FIXTURES: [(&str, Format, &[u8]); 5] = [
    ("thesaurus.ttl", Format::Turtle, include_bytes!("../../../tests/fixtures/vocabulary/thesaurus.ttl")),
    ("topics.rdf", Format::RdfXml, include_bytes!("../../../tests/fixtures/vocabulary/topics.rdf")),
    ("lightroom.txt", Format::Keywords, include_bytes!("../../../tests/fixtures/vocabulary/lightroom.txt")),
    (
        "photomechanic.txt",
        Format::Keywords,
        include_bytes!("../../../tests/fixtures/vocabulary/photomechanic.txt"),
    ),
    ("spreadsheet.csv", Format::Csv, include_bytes!("../../../tests/fixtures/vocabulary/spreadsheet.csv")),
];

fn fixture(name: &str) -> Draft {
    let (_, format, bytes) = FIXTURES.iter().find(|(known, ..)| *known == name).expect("a fixture");
    read(*format, bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The vocabulary after the changes.
fn applied(existing: &[Term], changes: Vec<Change>) -> Vec<Term> {
    let mut terms = existing.to_vec();
    for change in changes {
        match change {
            Change::Add(term) => {
                assert!(terms.iter().all(|other| other.id != term.id), "{} is there", term.id);
                for parent in &term.parents {
                    assert!(terms.iter().any(|other| other.id == *parent), "{parent} comes first");
                }
                terms.push(term);
            }
            Change::Update { before, after } => {
                let place = terms.iter().position(|term| *term == before).expect("it is there");
                assert_eq!(before.id, after.id);
                terms[place] = after;
            }
            Change::Remove(term) => {
                let place = terms.iter().position(|other| *other == term).expect("it is there");
                assert!(
                    terms.iter().all(|other| !other.parents.contains(&term.id)),
                    "narrower ones go first"
                );
                terms.remove(place);
            }
        }
    }
    terms
}

fn terms_of(draft: &Draft) -> Vec<Term> {
    applied(&[], plan(&[], draft, How::Merge).expect("a plan"))
}

/// In an order of their own, because formats have theirs.
fn sorted(mut terms: Vec<Term>) -> Vec<Term> {
    for term in &mut terms {
        term.labels.sort();
        term.notes.sort();
        term.parents.sort();
        term.prompts.sort();
    }
    terms.sort_by(|a, b| a.id.cmp(&b.id));
    terms
}

fn named<'a>(terms: &'a [Term], name: &str) -> &'a Term {
    let is_it = |term: &&Term| term.labels.iter().any(|label| label.text == name);
    terms.iter().find(is_it).unwrap_or_else(|| panic!("no term '{name}'"))
}

fn said(term: &Term) -> Vec<String> {
    let role = |role| match role {
        Role::Preferred => "=",
        Role::Alternative => "~",
        Role::Hidden => "-",
    };
    let mut said: Vec<String> = term
        .labels
        .iter()
        .map(|label| format!("{}{}@{}", role(label.role), label.text, label.language))
        .collect();
    said.sort();
    said
}

fn parents_of<'a>(terms: &'a [Term], name: &str) -> Vec<&'a str> {
    let of =
        |id: &TermId| terms.iter().find(|term| term.id == *id).expect("a parent").name(&Language::none());
    named(terms, name).parents.iter().map(of).collect()
}

fn noted(draft: &Draft) -> Vec<String> {
    draft.noted.iter().map(|noted| format!("{}: {}", noted.line, noted.text)).collect()
}

#[test]
fn a_thesaurus_is_understood() {
    let draft = fixture("thesaurus.ttl");
    let terms = terms_of(&draft);
    assert_eq!(terms.len(), 4);
    let chairs = named(&terms, "chairs");
    assert_eq!(
        said(chairs),
        [
            "-chiar@en",
            "=Stühle@de",
            "=chairs@en",
            "~seat furniture@en",
            "~side chairs@en-us",
            "~椅子@zh-hant"
        ]
    );
    assert_eq!(chairs.uri.as_deref(), Some("http://thesaurus.example/things/111"));
    assert_eq!(chairs.notes[0].text, "Seats with a back for one person.");
    let mut above = parents_of(&terms, "chairs");
    above.sort_unstable();
    assert_eq!(above, ["<furnishings by function>", "furnishings"]);
    let guide = named(&terms, "<furnishings by function>");
    assert!(guide.heading);
    assert_eq!(parents_of(&terms, "<furnishings by function>"), ["furnishings"]);
    let top = named(&terms, "furnishings");
    assert_eq!(top.notes[0].text, "Movable things that equip a room.\nNot its walls.");
    assert_eq!(top.notation.as_deref(), Some("V"));
    assert!(!named(&terms, "commodes").enabled);
    assert_eq!(named(&terms, "commodes").notes.len(), 2);
    assert_eq!(draft.terms.iter().map(|term| term.line).collect::<Vec<_>>(), [16, 28, 32, 49]);
    assert_eq!(
        noted(&draft),
        [
            "22: the file names narrower terms that it does not contain; they were left out (1)",
            "25: docent does not keep <http://purl.org/dc/terms/language>, which occurs once",
            "33: docent does not keep <http://purl.org/dc/terms/created>, which occurs once",
            "43: docent does not keep <http://www.w3.org/2004/02/skos/core#exactMatch>, which occurs once",
            "45: docent does not keep <http://purl.org/dc/terms/source>, which occurs once",
            "52: the term 'commodes' has a scope note; its definition became another",
            "56: the concept 'nameless' has no address and was left out",
        ]
    );
}

#[test]
fn topics_in_rdf_xml_are_understood() {
    let draft = fixture("topics.rdf");
    let terms = terms_of(&draft);
    assert_eq!(terms.len(), 3);
    let arts = named(&terms, "arts & entertainment");
    assert_eq!(said(arts), ["=Kunst und Unterhaltung@de", "=arts & entertainment@en-gb"]);
    assert_eq!(arts.uri.as_deref(), Some("http://topics.example/media/20000002"));
    assert_eq!(arts.notes[0].text, "All forms of arts, <live> or not.");
    assert_eq!(parents_of(&terms, "animation"), ["arts & entertainment"]);
    assert_eq!(parents_of(&terms, "film festival"), ["arts & entertainment"]);
    assert_eq!(draft.terms.iter().map(|term| term.line).collect::<Vec<_>>(), [13, 22, 28]);
    assert_eq!(
        noted(&draft),
        ["20: docent does not keep <http://purl.org/dc/terms/modified>, which occurs once"]
    );
}

#[test]
fn keyword_lists_are_understood() {
    let terms = terms_of(&fixture("lightroom.txt"));
    assert_eq!(terms.len(), 11);
    assert_eq!(said(named(&terms, "dog")), ["=dog@", "~canine@", "~hound@"]);
    assert_eq!(parents_of(&terms, "poodle"), ["dog"]);
    assert!(named(&terms, "Mammals").heading && !named(&terms, "birds").heading);
    assert_eq!(parents_of(&terms, "sunrise"), [""; 0]);

    let terms = terms_of(&fixture("photomechanic.txt"));
    assert_eq!(terms.len(), 5);
    assert_eq!(said(named(&terms, "Animals")), ["=Animals@", "~creatures@"]);
    assert_eq!(said(named(&terms, "dog")), ["=dog@", "~canine@", "~hound@"]);
    assert_eq!(parents_of(&terms, "poodle"), ["dog"]);
}

#[test]
fn a_german_spreadsheet_is_understood() {
    let draft = fixture("spreadsheet.csv");
    let terms = terms_of(&draft);
    assert_eq!(terms.len(), 6);
    let dog = named(&terms, "Hund");
    assert_eq!(said(dog), ["=Hund@", "=dog@en", "~Köter@", "~Wauwau@"]);
    assert_eq!(dog.threshold, Some(0.35));
    assert_eq!(dog.notes[0].text, "Nur Haushunde; keine Wölfe.\nSiehe \"Wolf\".");
    assert!(dog.enabled && !named(&terms, "Wolf").enabled);
    assert_eq!(parents_of(&terms, "Pudel"), ["Hund"]);
    assert_eq!(draft.terms.iter().map(|term| term.line).collect::<Vec<_>>(), [2, 3, 5, 6, 8, 9]);
    assert_eq!(noted(&draft), ["1: docent does not know the column 'Farbe' and left it out"]);
}

#[test]
fn files_are_told_apart() {
    for (name, format, bytes) in FIXTURES {
        assert_eq!(Format::guess(name, bytes), Ok(format), "{name}");
        if format != Format::Keywords {
            assert_eq!(Format::guess("file", bytes), Ok(format), "{name} by its content");
        }
    }
    assert_eq!(Format::guess("x.TSV", b""), Ok(Format::Csv));
    assert_eq!(Format::guess("x", b"\xff\xfet\0e\0r\0m\0;\0i\0d\0\n"), Ok(Format::Csv));
    assert!(Format::guess("x.jsonld", b"{}").is_err());
    assert!(Format::guess("x", b"dog\ncat\n").is_err());
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        let bytes = write(format, &[]).expect("a file").bytes;
        let draft = read(format, &bytes).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(draft.terms, [], "{format}");
        let guessed = Format::guess(&format!("x.{}", format.extension()), &bytes);
        assert_eq!(guessed, Ok(format));
    }
}

/// Every fixture, through every format: the format's own file changes nothing in the vocabulary that it was written of.
#[test]
fn what_a_format_writes_it_reads_without_a_change() {
    for name in FIXTURES.map(|(name, ..)| name) {
        let draft = fixture(name);
        let terms = terms_of(&draft);
        for how in [How::Merge, How::Replace] {
            assert_eq!(plan(&terms, &draft, how), Ok(Vec::new()), "{name} once more, {how:?}");
        }
        for format in Format::ALL {
            let written = write(format, &terms).expect("a file");
            let lossless = format != Format::Keywords;
            let back = read(format, &written.bytes).unwrap_or_else(|error| {
                panic!("{name}, {format}: {error}\n{}", String::from_utf8_lossy(&written.bytes))
            });
            assert_eq!(back.noted, [], "{name}, {format}");
            for how in [How::Merge, How::Replace] {
                assert_eq!(plan(&terms, &back, how), Ok(Vec::new()), "{name}, {format}, {how:?}");
            }
            if lossless {
                assert_eq!(written.lost, [], "{name}, {format}");
                assert_eq!(sorted(terms_of(&back)), sorted(terms.clone()), "{name}, {format}");
            }
            let again = write(format, &terms.iter().rev().cloned().collect::<Vec<_>>()).expect("a file");
            assert!(format == Format::Json || again == written, "{name}, {format}: the order shows");
        }
    }
}

#[test]
fn turtle_is_readable() {
    let mut dog = Term::named(TermId::derived(&["dog"]), Language::none(), "dog");
    let animal = Term { uri: Some("http://x.example/animal".to_owned()), heading: true, ..dog.clone() };
    let animal = Term { id: TermId::derived(&["animal"]), ..animal };
    dog.parents.push(animal.id.clone());
    dog.threshold = Some(1.0);
    dog.notes.push(Note {
        language: Language::try_from("en".to_owned()).expect("a language"),
        text: "a\nb".to_owned(),
    });
    let written = write(Format::Turtle, &[dog.clone(), animal.clone()]).expect("a file");
    let wanted = format!(
        "@prefix docent: <https://docent.example/ns/vocabulary#> .\n\
         @prefix skos: <http://www.w3.org/2004/02/skos/core#> .\n\
         <urn:docent:vocabulary> a skos:ConceptScheme ;\n\
         \tdocent:version 1 .\n\
         <http://x.example/animal> a skos:Concept ;\n\
         \tdocent:id \"{}\" ;\n\
         \tskos:prefLabel \"dog\" ;\n\
         \tdocent:heading true .\n\
         <urn:docent:term:{}> a skos:Concept ;\n\
         \tskos:prefLabel \"dog\" ;\n\
         \tskos:broader <http://x.example/animal> ;\n\
         \tskos:scopeNote \"a\\nb\"@en ;\n\
         \tdocent:threshold 1.0 .\n",
        animal.id, dog.id
    );
    assert_eq!(String::from_utf8_lossy(&written.bytes), wanted);
}

#[test]
fn what_a_format_cannot_say_is_counted() {
    let draft = fixture("spreadsheet.csv");
    let mut terms = terms_of(&draft);
    terms[0].labels[0].text = "[Tiere]".to_owned();
    terms[2].labels[0].language = Language::try_from("1".to_owned()).expect("docent takes it");
    let lost = |format| {
        let lost = write(format, &terms).expect("a file").lost;
        lost.into_iter()
            .map(|loss| format!("{} {} ({})", loss.times, loss.what, loss.example))
            .collect::<Vec<_>>()
    };
    assert_eq!(lost(Format::Json), [""; 0]);
    assert_eq!(lost(Format::Csv), [""; 0]);
    assert_eq!(lost(Format::Turtle), ["1 a language that RDF does not know (wolf)"]);
    assert_eq!(
        lost(Format::Keywords),
        [
            "1 that it is off (wolf)",
            "1 the scope notes (Hund)",
            "1 the term and what is below it, because of braces or brackets in its name ([Tiere])",
            "2 the threshold (Hund)",
            "4 which language a label is in (Hund)",
        ]
    );
}

#[test]
fn encodings_are_noted_where_they_are_guessed() {
    let old = read(Format::Csv, b"term;note\nB\xe4r;x\n").expect("a table");
    assert_eq!(noted(&old), ["2: the file is not UTF-8; it was read as Windows-1252"]);
    assert_eq!(old.terms[0].labels[0].text, "Bär");
    assert_eq!(
        read(Format::Turtle, b"\n\xe4").expect_err("no UTF-8").to_string(),
        "line 2: the file is not UTF-8; save it as UTF-8"
    );
    let xml = |encoding: &str| {
        format!(
            "<?xml version='1.0' encoding='{encoding}'?>\n<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' \
             xmlns:s='http://www.w3.org/2004/02/skos/core#'><s:Concept rdf:about='http://x.example/a'>\
             <s:prefLabel>Bär</s:prefLabel></s:Concept></rdf:RDF>"
        )
    };
    let latin: Vec<u8> =
        xml("ISO-8859-1").chars().map(|c| u8::try_from(u32::from(c)).expect("Latin")).collect();
    let wide: Vec<u8> = xml("UTF-16").encode_utf16().fold(vec![0xff, 0xfe], |mut bytes, unit| {
        bytes.extend(unit.to_le_bytes());
        bytes
    });
    for bytes in [latin, wide, xml("UTF-8").into_bytes()] {
        let draft = read(Format::RdfXml, &bytes).expect("RDF");
        assert_eq!((draft.terms[0].labels[0].text.as_str(), draft.terms[0].line), ("Bär", 2));
        assert_eq!(draft.noted, []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_vocabulary_comes_back_as_it_was(terms in made::vocabulary()) {
        for format in [Format::Json, Format::Turtle, Format::RdfXml, Format::Csv] {
            let written = write(format, &terms).expect("a file");
            prop_assert_eq!(&written.lost, &Vec::new());
            let text = String::from_utf8_lossy(&written.bytes);
            let draft = read(format, &written.bytes).map_err(|error| TestCaseError::fail(format!("{format}: {error}\n{text}")))?;
            prop_assert_eq!(plan(&terms, &draft, How::Replace), Ok(Vec::new()), "{}\n{}", format, text);
            prop_assert_eq!(plan(&terms, &draft, How::Merge), Ok(Vec::new()), "{}\n{}", format, text);
            prop_assert_eq!(sorted(terms_of(&draft)), sorted(terms.clone()), "{}\n{}", format, text);
        }
    }

    #[test]
    fn a_keyword_list_changes_nothing_where_it_came_from(terms in made::vocabulary()) {
        let written = write(Format::Keywords, &terms).expect("a file");
        let text = String::from_utf8_lossy(&written.bytes);
        let draft = read(Format::Keywords, &written.bytes).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let left_out = |loss: &Loss| loss.what.starts_with("the term and") || loss.what.starts_with("that it is another") || loss.what.starts_with("a synonym");
        if !written.lost.iter().any(left_out) {
            prop_assert_eq!(plan(&terms, &draft, How::Merge), Ok(Vec::new()), "{}", text);
            prop_assert_eq!(plan(&terms, &draft, How::Replace), Ok(Vec::new()), "{}", text);
        }
        // Into an empty vocabulary, a second time.
        let read_once = terms_of(&draft);
        prop_assert_eq!(plan(&read_once, &draft, How::Merge), Ok(Vec::new()), "{}", text);
        prop_assert_eq!(plan(&read_once, &draft, How::Replace), Ok(Vec::new()), "{}", text);
    }
}
