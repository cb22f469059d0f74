//! Broken files.

use super::*;

/// A file, and what is said of it.
type Case = (Format, &'static str, &'static str);

const PREFIXES: &str = "@prefix s: <http://www.w3.org/2004/02/skos/core#> .\n@prefix d: <https://docent.example/ns/vocabulary#> .\n@prefix : <http://x.example/> .\n";

const TURTLE: &[(&str, &str)] = &[
    (":a s:prefLabel \"a\" ; s:broader :a .", "line 4: the term 'a' is broader than itself"),
    (
        ":a s:prefLabel \"a\" .\n:b s:prefLabel \"b\"@en , \"B\"@en .",
        "line 5: the term 'b' has two preferred labels in 'en'",
    ),
    (":a a s:Concept .", "line 4: the term 'http://x.example/a' has no preferred label"),
    (
        ":a s:prefLabel \"a\" ; s:broader :b .\n\n:b s:prefLabel \"b\" ; s:broader :a .",
        "line 4: terms are broader than themselves: 'a' below 'b' below 'a'",
    ),
    (
        ":a s:prefLabel \"a\" ; d:enabled true ; s:broader :gone .",
        "line 4: what is broader than the term 'a' is neither in the file nor in the vocabulary",
    ),
    (":a s:prefLabel \"a\"\n:b s:prefLabel \"b\" .", "line 5: "),
    (":a s:prefLabel \"a", "line 4: "),
    (
        ":a s:prefLabel \"a\\u0001b\" .",
        "line 4: the term 'http://x.example/a' has a label with the control character U+0001",
    ),
    (":a s:prefLabel \"\" .", "line 4: the term 'http://x.example/a' has an empty label"),
    ("<a> s:prefLabel \"a\" .", "line 4: "),
    ("x:a s:prefLabel \"a\" .", "line 4: "),
    (
        ":a s:prefLabel \"a\" ; d:threshold 2 .",
        "line 4: the term 'a' has the threshold '2'; write a number from 0 to 1",
    ),
    (":a s:prefLabel \"a\" ;\n d:enabled \"maybe\" .", "line 5: 'maybe' is neither true nor false"),
    (":a s:prefLabel \"a\" ; d:id \"17\" .", "line 4: '17' is not a term's id"),
    (":a s:prefLabel \"a\" ; s:broader [] .", "line 4: the broader term has no address"),
    ("<urn:docent:term:1> s:prefLabel \"a\" .", "line 4: '1' is not a term's id"),
];

const XML: &[(&str, &str)] = &[
    ("<s:Concept rdf:about='http://x.example/a'>\n<s:prefLabel>a</s:prefLabel>", "line 3: "),
    (
        "<s:Concept rdf:about='http://x.example/a'>\n<s:prefLabel>a</s:altLabel></s:Concept></rdf:RDF>",
        "line 3: ",
    ),
    ("<s:Concept rdf:about='a'>\n<s:prefLabel>a</s:prefLabel></s:Concept></rdf:RDF>", "line 2: "),
    (
        "<s:Concept rdf:about='http://x.example/a'>\n<s:prefLabel>a&b;</s:prefLabel></s:Concept></rdf:RDF>",
        "line 3: ",
    ),
    (
        "<s:Concept rdf:about='http://x.example/a'><s:prefLabel>a</s:prefLabel>\n<s:broader rdf:resource='http://x.example/a'/></s:Concept></rdf:RDF>",
        "line 2: the term 'a' is broader than itself",
    ),
    ("<s:Concept rdf:about='http://x.example/a'\n<", "line 2: "),
    ("<!-- ", "line 2: what begins here has no '-->'"),
];

const OTHERS: &[Case] = &[
    (Format::Keywords, "a\n\t\tb", "line 2: the line is indented by 2, and the one above by 0"),
    (Format::Keywords, "\ta", "line 1: the first line is indented"),
    (Format::Keywords, "a\n{b}", "line 2: the synonym 'b' belongs to no term"),
    (Format::Keywords, "dog\n\tdog", "line 2: the term 'dog' stands under itself"),
    (Format::Keywords, "a\n\t{b", "line 2: '{b' has a brace without its other one"),
    (Format::Keywords, "a\n\tb}", "line 2: 'b}' has a brace without its other one"),
    (Format::Keywords, "a\n\t{}", "line 2: a synonym is empty"),
    (Format::Keywords, "a\n[ ]", "line 2: a category has no name"),
    (Format::Keywords, "a\n  b\n   c", "line 3: the line is indented by 3 spaces, where one level is 2"),
    (Format::Keywords, "a\u{0}b", "line 1: the term '' has a label with the control character U+0000"),
    (Format::Csv, "", "the table is empty"),
    (Format::Csv, "color,size\nred,1", "line 1: no column of the table holds the terms"),
    (Format::Csv, "term,parent\n,x", "line 2: the row names no term"),
    (Format::Csv, "term,parent\ndog,dog", "line 2: the term 'dog' is broader than itself"),
    (Format::Csv, "term,parent\na,\n\nb,c", "line 4: what is broader than the term 'b' is neither"),
    (
        Format::Csv,
        "term,parent\na,b\nb,a",
        "line 2: terms are broader than themselves: 'a' below 'b' below 'a'",
    ),
    (
        Format::Csv,
        "term,parent\na,\nx,a\nx,b\nb,\ny,x",
        "line 6: 'x' is the name of several terms, such as those in lines 3 and 4",
    ),
    (Format::Csv, "term,threshold\na,0,5", "line 2: the row has more cells than the header: '5'"),
    (Format::Csv, "term;threshold\na;1,5", "line 2: the term 'a' has the threshold '1,5'"),
    (Format::Csv, "term,enabled\na,perhaps", "line 2: 'perhaps' is neither yes nor no"),
    (Format::Csv, "term,id\na,17", "line 2: '17' is not a term's id"),
    (Format::Csv, "term,uri\na,17", "line 2: the term 'a' has '17', which is no address"),
    (
        Format::Csv,
        "term,uri\na,http://x.example/1\nb,http://x.example/1",
        "line 3: the id or the address of the term 'b' is also in line 2",
    ),
    (Format::Csv, "term,parent\na,\n\"b,a\nc,a", "line 3: a quote is never closed"),
    (Format::Csv, "term,parent\n\"a\nb\",", "line 2: a cell has a line break: 'a'"),
    (
        Format::Csv,
        "id,note\n0123456789abcdef0123456789abcdef,x",
        "line 2: the term '0123456789abcdef0123456789abcdef' has no preferred label",
    ),
    (Format::Json, "{", "line 1: EOF while parsing an object"),
    (Format::Json, "{\"docent_vocabulary\":2,\"terms\":[]}", "the file is of version 2, and docent knows 1"),
    (Format::Json, "{\"docent_vocabulary\":1,\n\"terms\":[],\n\"more\":1}", "line 3: unknown field `more`"),
    (
        Format::Json,
        "{\"docent_vocabulary\":1,\"terms\":[\n{\"id\":\"0123456789abcdef0123456789abcdef\",\"labels\":[],\n\"color\":1}]}",
        "line 3: unknown field `color`",
    ),
    (
        Format::Json,
        "{\"docent_vocabulary\":1,\"terms\":[\n{\"id\":\"1\",\"labels\":[]}]}",
        "line 2: '1' is not a term's id",
    ),
    (
        Format::Json,
        "{\"docent_vocabulary\":1,\"terms\":[\n\n{\"id\":\"0123456789abcdef0123456789abcdef\",\"labels\":[]}]}",
        "line 3: the term '0123456789abcdef0123456789abcdef' has no preferred label",
    ),
    (
        Format::Json,
        "{\"docent_vocabulary\":1,\"terms\":[{\"id\":\"0123456789abcdef0123456789abcdef\",\"labels\":[]},\n{\"id\":\"0123456789abcdef0123456789abcdef\",\"labels\":[]}]}",
        "line 2: the id of the term '0123456789abcdef0123456789abcdef' is also in line 1",
    ),
];

/// What reading and planning say.
fn said(format: Format, bytes: &[u8]) -> Result<Vec<Change>, VocabularyError> {
    read(format, bytes).and_then(|draft| plan(&[], &draft, How::Merge))
}

fn check(format: Format, text: &str, wanted: &str) {
    let error = said(format, text.as_bytes()).map(|changes| panic!("{format} takes {text:?}: {changes:?}"));
    let error = error.err().map_or_else(String::new, |error| error.to_string());
    assert!(error.starts_with(wanted), "{format} {text:?}\n  wanted: {wanted}\n     got: {error}");
    assert!(error.contains("; "), "{error}: no next step");
}

#[test]
fn each_kind_of_damage_has_its_line_and_reason() {
    for (text, wanted) in TURTLE {
        check(Format::Turtle, &format!("{PREFIXES}{text}"), wanted);
    }
    for (text, wanted) in XML {
        let head = "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:s='http://www.w3.org/2004/02/skos/core#'>";
        check(Format::RdfXml, &format!("{head}\n{text}"), wanted);
    }
    for (format, text, wanted) in OTHERS {
        check(*format, text, wanted);
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let long = "x".repeat(Label::MAX_CHARS + 1);
    check(Format::Keywords, &long, "line 1: the term '' has a label of more than 500 characters");
    let deep: String = (0..=MAX_DEPTH).map(|depth| format!("{}{depth}\n", "\t".repeat(depth))).collect();
    check(Format::Keywords, &deep, "line 65: the list is more than 64 levels deep");
    let many: String = std::iter::once("a".to_owned()).chain((0..200).map(|n| format!("{{{n}}}"))).collect();
    check(Format::Keywords, &many, "line 1: the term 'a' has more than 200 labels");
    let prompts = (0..9).map(|n| n.to_string()).collect::<Vec<_>>().join("|");
    check(Format::Csv, &format!("term,prompt\na,{prompts}"), "line 2: the term 'a' has more than 8 prompts");
    check(
        Format::Csv,
        &format!("term,prompt\na,{}", "x".repeat(301)),
        "line 2: the term 'a' has a prompt of more than 300",
    );
    check(
        Format::Csv,
        &format!("term,note\na,{}", "x".repeat(10_001)),
        "line 2: the term 'a' has a note of more than 10000",
    );
    let parents = (0..65).map(|n| n.to_string()).collect::<Vec<_>>().join("|");
    check(
        Format::Csv,
        &format!("term,parent\na,{parents}"),
        "line 2: the term 'a' has more than 64 broader terms",
    );
    let many: String = (0..=MAX_TERMS).map(|n| format!("{n}\n")).collect();
    check(Format::Keywords, &many, "line 200001: the file has more than 200000 terms");
    check(Format::Csv, &format!("term\n{many}"), "line 200002: the table has more than 200000 rows");
    assert!(read(Format::Csv, &vec![b' '; MAX_BYTES + 1]).is_err());
}

/// What would cost a parser its memory or its time.
#[test]
fn bombs_are_refused() {
    for open in ["[ s:broader ", "( "] {
        check(
            Format::Turtle,
            &format!("{PREFIXES}:a s:broader {}", open.repeat(1_000_000)),
            "line 4: more than 100 brackets are open",
        );
    }
    let prefix = format!("@prefix p: <http://x.example/{}> .\n", "x".repeat(20_000));
    let text = format!("{prefix}{}", "p:a p:b p:c .\n".repeat(1_000_000));
    check(Format::Turtle, &text, "line 2: an address has more than 2000 characters");
    check(Format::RdfXml, &"<a>".repeat(1_000_000), "line 1: more than 32 elements are open");
    let attributes: String = (0..100_000).map(|n| format!(" a{n}=''")).collect();
    check(Format::RdfXml, &format!("<a{attributes}/>"), "line 1: a tag has more than");
    let lol = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><a/>";
    check(Format::RdfXml, lol, "line 1: an entity is made of another");
    let large = format!("<!DOCTYPE a [<!ENTITY a \"{}\">]><a/>", "x".repeat(1_000));
    check(Format::RdfXml, &large, "line 1: the document type has a part of more than 300 bytes");
    // Diamonds: each level doubles what stands below.
    let mut terms: Vec<Term> = Vec::new();
    for level in 0..30 {
        for side in ["a", "b"] {
            let mut term = Term::named(
                TermId::derived(&[side, &level.to_string()]),
                Language::none(),
                &format!("{side}{level}"),
            );
            term.parents = terms
                .iter()
                .rev()
                .skip(usize::from(side == "b"))
                .take(2)
                .map(|term| term.id.clone())
                .collect();
            terms.push(term);
        }
    }
    assert!(write(Format::Keywords, &terms).expect_err("too long").reason.contains("1000000 lines"));
}

/// Only here, because the product is not to throw dice.
#[cfg(test)]
mod random {
    use super::*;

    #[test]
    fn no_bytes_do_harm() {
        let mut random = fastrand::Rng::with_seed(17);
        let spice: [&[u8]; 16] = [
            b"\t",
            b"\n",
            b"\r",
            b"{",
            b"}",
            b"[",
            b"\"",
            b"\"\"\"",
            b"<",
            b">",
            b"\\",
            b"&",
            b"|",
            b"\xff\xfe",
            b"@",
            b"\xe4",
        ];
        let mut seeds: Vec<(Format, Vec<u8>)> =
            FIXTURES.iter().map(|(_, format, bytes)| (*format, bytes.to_vec())).collect();
        let terms = terms_of(&fixture("thesaurus.ttl"));
        seeds.extend(Format::ALL.map(|format| (format, write(format, &terms).expect("a file").bytes)));
        for round in 0..4_000 {
            let (format, seed) = &seeds[round % seeds.len()];
            let mut bytes = seed.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..=bytes.len());
                let until = (at + random.usize(..40)).min(bytes.len());
                match random.u8(..5) {
                    0 => bytes.truncate(at),
                    1 => drop(bytes.drain(at..until)),
                    2 => bytes.extend_from_within(at..until),
                    3 => drop(bytes.splice(at..until, random.choice(spice).into_iter().flatten().copied())),
                    _ => drop(bytes.splice(at..at, random.choice(spice).into_iter().flatten().copied())),
                }
            }
            let _ = said(*format, &bytes);
            let _ = Format::guess("x", &bytes);
        }
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            for format in Format::ALL {
                let _ = said(format, &bytes);
            }
        }
    }
}
