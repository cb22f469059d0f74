use super::*;
use crate::vocabulary::{Format, Label, Role, TermId, read};

fn csv(text: &str) -> Draft {
    read(Format::Csv, text.as_bytes()).expect("a table")
}

fn applied(mut terms: Vec<Term>, changes: Vec<Change>) -> Vec<Term> {
    for change in changes {
        match change {
            Change::Add(term) => terms.push(term),
            Change::Update { before, after } => {
                let place = terms.iter().position(|term| *term == before).expect("it is there");
                terms[place] = after;
            }
            Change::Remove(term) => terms.retain(|other| *other != term),
        }
    }
    terms
}

fn made(text: &str) -> Vec<Term> {
    applied(Vec::new(), plan(&[], &csv(text), How::Merge).expect("a plan"))
}

/// `+` added, `*` changed, `-` removed, by name.
fn said(changes: &[Change]) -> Vec<String> {
    let said = |change: &Change| match change {
        Change::Add(term) => format!("+{}", name(term)),
        Change::Update { after, .. } => format!("*{}", name(after)),
        Change::Remove(term) => format!("-{}", name(term)),
    };
    changes.iter().map(said).collect()
}

fn labels(term: &Term) -> Vec<String> {
    let said = |label: &Label| format!("{:?} {}@{}", label.role, label.text, label.language);
    term.labels.iter().map(said).collect()
}

#[test]
fn broader_terms_come_first_and_removals_last() {
    let draft = csv("term,parent\npoodle,dog\ndog,animal\nanimal,\n");
    let changes = plan(&[], &draft, How::Merge).expect("a plan");
    assert_eq!(said(&changes), ["+animal", "+dog", "+poodle"]);
    let terms = applied(Vec::new(), changes);
    assert_eq!(plan(&terms, &draft, How::Merge), Ok(Vec::new()));
    assert_eq!(plan(&terms, &draft, How::Replace), Ok(Vec::new()));
    let other = csv("term,parent\nanimal,\ncat,animal\n");
    assert_eq!(said(&plan(&terms, &other, How::Merge).expect("a plan")), ["+cat"]);
    assert_eq!(said(&plan(&terms, &other, How::Replace).expect("a plan")), ["+cat", "-poodle", "-dog"]);
}

#[test]
fn identity_is_the_id_then_the_address_then_the_path() {
    let terms = made("term,uri,parent\nanimal,,\ndog,http://x.example/dog,animal\nbank,,animal\n");
    let id = &terms[1].id;
    let by_id = csv(&format!("id,term\n{id},hound\n"));
    let changes = plan(&terms, &by_id, How::Merge).expect("a plan");
    assert_eq!(said(&changes), ["*hound"]);
    let Change::Update { after, .. } = &changes[0] else { panic!("an update") };
    assert_eq!(labels(after), ["Preferred hound@", "Alternative dog@"]);
    let by_uri = csv("uri,alt\nhttp://x.example/dog,canine\n");
    assert_eq!(said(&plan(&terms, &by_uri, How::Merge).expect("a plan")), ["*dog"]);
    let by_path = csv("term,parent,alt\nBank,Animal,shoal\n");
    let changes = plan(&terms, &by_path, How::Merge).expect("a plan");
    assert_eq!(said(&changes), ["*bank"], "without regard to case; the spelling stays");
    let elsewhere = csv("term,parent\nbank,\n");
    assert_eq!(said(&plan(&terms, &elsewhere, How::Merge).expect("a plan")), ["+bank"]);
    let silent = csv("term,label@de\nbank,Ufer\n");
    assert_eq!(said(&plan(&terms, &silent, How::Merge).expect("a plan")), ["*bank"], "no column says where");
    let other_uri = csv("term,uri,parent\ndog,http://x.example/other,animal\n");
    assert_eq!(said(&plan(&terms, &other_uri, How::Merge).expect("a plan")), ["+dog"]);
}

#[test]
fn new_ids_are_derived_and_never_taken() {
    let terms = made("term,uri,parent\nanimal,,\ndog,http://x.example/dog,animal\n");
    assert_eq!(terms[0].id, TermId::derived(&["animal"]));
    assert_eq!(terms[1].id, TermId::derived(&["http://x.example/dog"]));
    let cat = made("term,parent\nanimal,\ncat,animal\n").pop().expect("two terms");
    assert_eq!(cat.id, TermId::derived(&[terms[0].id.as_str(), "cat"]));
    let mut renamed = terms;
    renamed[0].labels[0].text = "beast".to_owned();
    let changes = plan(&renamed, &csv("term\nanimal\n"), How::Merge).expect("a plan");
    let [Change::Add(again)] = &changes[..] else { panic!("one new term") };
    assert_eq!(again.id, TermId::derived(&["animal", "2"]));
}

#[test]
fn a_replacement_leaves_alone_what_the_format_cannot_say() {
    let mut terms = made(
        "term,label@de,hidden,note,threshold,uri\ndog,Hund,dgo,A dog.,0.5,http://x.example/dog\ncat,,,,,\n",
    );
    let list = read(Format::Keywords, b"dog\n\t{Hund}\n\t{canine}\n").expect("a list");
    let changes = plan(&terms, &list, How::Replace).expect("a plan");
    assert_eq!(said(&changes), ["*dog", "-cat"]);
    terms = applied(terms, changes);
    assert_eq!(
        labels(&terms[0]),
        ["Preferred dog@", "Preferred Hund@de", "Alternative canine@", "Hidden dgo@"]
    );
    assert_eq!((terms[0].threshold, terms[0].notes.len(), terms[0].uri.is_some()), (Some(0.5), 1, true));
    assert_eq!(plan(&terms, &list, How::Replace), Ok(Vec::new()));
    // Another list without a synonym takes it away again.
    let list = read(Format::Keywords, b"dog\n").expect("a list");
    terms = applied(terms.clone(), plan(&terms, &list, How::Replace).expect("a plan"));
    assert_eq!(labels(&terms[0]), ["Preferred dog@", "Hidden dgo@"]);
}

#[test]
fn what_a_foreign_thesaurus_states_counts_and_the_rest_stays() {
    let mut terms =
        made("term,uri,threshold,prompt\na,http://x.example/a,0.5,A photo of a.\nb,http://x.example/b,,\n");
    terms[0].threshold = Some(1.0 / 3.0);
    terms[1].enabled = false;
    let head = "@prefix s: <http://www.w3.org/2004/02/skos/core#> .\n@prefix o: <http://www.w3.org/2002/07/owl#> .\n";
    let text = format!(
        "{head}<http://x.example/a> s:prefLabel \"a\" ; o:deprecated true .\n<http://x.example/b> s:prefLabel \"b\" .\n"
    );
    let draft = read(Format::Turtle, text.as_bytes()).expect("a draft");
    let changes = plan(&terms, &draft, How::Replace).expect("a plan");
    assert_eq!(said(&changes), ["*a"]);
    let after = applied(terms, changes);
    assert_eq!((after[0].enabled, after[0].threshold, after[0].prompts.len()), (false, Some(1.0 / 3.0), 1));
    // docent's own file says everything, so what it leaves out is gone.
    for format in [Format::Json, Format::Turtle, Format::RdfXml, Format::Csv] {
        let mut plain = after.clone();
        plain.iter_mut().for_each(|term| (term.enabled, term.prompts) = (true, Vec::new()));
        let bytes = crate::vocabulary::write(format, &plain).expect("a file").bytes;
        let draft = read(format, &bytes).expect("a draft");
        assert_eq!(
            applied(after.clone(), plan(&after, &draft, How::Replace).expect("a plan")),
            plain,
            "{format}"
        );
    }
}

#[test]
fn an_extract_of_a_thesaurus_may_leave_out_what_is_broader() {
    let head = "@prefix s: <http://www.w3.org/2004/02/skos/core#> .\n@prefix : <http://x.example/> .\n";
    let text = format!(
        "{head}:dog s:prefLabel \"dog\" ; s:broader :pet , :animal .\n:cat s:prefLabel \"cat\" ; s:broader :dog .\n"
    );
    let mut draft = read(Format::Turtle, text.as_bytes()).expect("a draft");
    assert!(plan(&[], &draft, How::Merge).is_err(), "nobody left anything out");
    // What the vocabulary has stays broader.
    let animal = made("term,uri\nanimal,http://x.example/animal\n");
    draft.leave_out_unknown(&animal);
    let remarks: Vec<(u64, &str)> =
        draft.noted.iter().map(|noted| (noted.line, noted.text.as_str())).collect();
    let remark = "what is broader than the term 'dog' is neither in the file nor in the vocabulary, and was left out: \
                  'http://x.example/pet'";
    assert_eq!(remarks, [(3, remark)]);
    let changes = plan(&animal, &draft, How::Merge).expect("a plan");
    let parents = |change: &Change| match change {
        Change::Add(term) => term.parents.clone(),
        _ => panic!("only new ones"),
    };
    assert_eq!(parents(&changes[0]), [animal[0].id.clone()]);
    assert_eq!(parents(&changes[1]).len(), 1);
    // A table that a person wrote is not one: a name that is nowhere is a mistake.
    let mut table = csv("term,parent\ndog,animl\n");
    table.leave_out_unknown(&[]);
    assert!(plan(&[], &table, How::Merge).is_err());
}

#[test]
fn a_merge_takes_nothing_away() {
    let terms = made("term,label@de,alt,parent\nanimal,,,\ndog,Hund,hound,animal\n");
    let draft = csv("term,label@de,alt,parent\npet,,,\nanimal,,,\ndog,Haushund,canine,animal|pet\n");
    let changes = plan(&terms, &draft, How::Merge).expect("a plan");
    assert_eq!(said(&changes), ["+pet", "*dog"]);
    let after = applied(terms, changes);
    let dog = after.iter().find(|term| name(term) == "dog").expect("the dog");
    assert_eq!(dog.parents.len(), 2);
    let wanted = [
        "Preferred dog@",
        "Preferred Haushund@de",
        "Alternative hound@",
        "Alternative Hund@de",
        "Alternative canine@",
    ];
    assert_eq!(labels(dog), wanted);
    assert_eq!(plan(&after, &draft, How::Merge), Ok(Vec::new()));
}

#[test]
fn a_keyword_list_with_a_term_in_two_places_finds_the_one_term() {
    let terms = made("term,parent\nfarm,\nhome,\ndog,farm|home\npuppy,dog\n");
    let list = read(Format::Keywords, b"farm\n\tdog\n\t\tpuppy\nhome\n\tdog\n\t\tpuppy\n").expect("a list");
    assert_eq!(plan(&terms, &list, How::Merge), Ok(Vec::new()));
    assert_eq!(plan(&terms, &list, How::Replace), Ok(Vec::new()));
    assert_eq!(plan(&[], &list, How::Merge).expect("a plan").len(), 6);
}

#[test]
fn what_would_be_no_vocabulary_is_refused() {
    let terms = made("term,uri,parent\nanimal,http://x.example/1,\ndog,,animal\npuppy,,dog\n");
    let wrong = |text: &str, how| plan(&terms, &csv(text), how).expect_err(text).to_string();
    let ids = |text: &str| {
        terms
            .iter()
            .fold(text.to_owned(), |text, term| text.replace(&format!("${}", name(term)), term.id.as_str()))
    };
    let cycle = wrong(&ids("id,term,parent\n$animal,animal,$puppy\n"), How::Merge);
    assert_eq!(
        cycle,
        "line 2: terms are broader than themselves: 'animal' below 'puppy' below 'dog' below 'animal'; \
         take one of them out from below the next"
    );
    assert_eq!(
        wrong("term,parent\nkitten,animal\n", How::Replace),
        "line 2: what is broader than the term 'kitten' would be missing: 'animal'; \
         add it to the file, or merge instead of replacing"
    );
    assert_eq!(
        wrong(&ids("id,uri\n$dog,http://x.example/1\n$animal,\n"), How::Merge),
        "line 3: the terms 'animal' and 'dog' would have the same address 'http://x.example/1'; \
         give one of them another"
    );
    let both = ids("id,uri,term\n$animal,,x\n,http://x.example/1,y\n");
    assert!(
        wrong(&both, How::Merge)
            .starts_with("line 3: the term 'y' is by its id or address the one of line 2")
    );
    let deep: String = (1..65).map(|n| format!("{n},{}\n", n - 1)).collect();
    assert!(
        wrong(&format!("term,parent\n0,\n{deep}"), How::Merge)
            .starts_with("line 66: the term '64' is more than 64 levels deep")
    );
}

/// Fifty thousand terms, read, planned, written and planned again in each format.
#[test]
fn a_large_vocabulary_takes_seconds() {
    let mut terms: Vec<Term> = Vec::new();
    for at in 0..50_000_usize {
        let mut term =
            Term::named(TermId::derived(&[&at.to_string()]), Language::none(), &format!("term {at}"));
        term.labels.push(Label {
            language: Language::none(),
            role: Role::Alternative,
            text: format!("synonym {}", at % 100),
        });
        if at > 0 {
            term.parents.push(terms[(at - 1) / 20].id.clone());
        }
        if at % 3 == 0 {
            term.uri = Some(format!("http://x.example/{at}"));
        }
        terms.push(term);
    }
    for format in Format::ALL {
        let started = std::time::Instant::now();
        let bytes = crate::vocabulary::write(format, &terms).expect("a file").bytes;
        let written = started.elapsed();
        let draft = read(format, &bytes).expect("a draft");
        let read = started.elapsed() - written;
        let added = plan(&[], &draft, How::Merge).expect("a plan");
        let first = started.elapsed() - written - read;
        assert_eq!(added.len(), terms.len());
        assert_eq!(plan(&terms, &draft, How::Replace), Ok(Vec::new()));
        let second = started.elapsed() - written - read - first;
        eprintln!("{format}: written {written:?}, read {read:?}, planned {first:?} and {second:?}");
        assert!(first.as_secs() < 20 && second.as_secs() < 20, "{format} takes too long");
    }
}

/// All with the same name: no list of namesakes is walked again and again.
#[test]
fn many_namesakes_take_no_longer() {
    let top = Term::named(TermId::derived(&["top"]), Language::none(), "top");
    let mut terms = vec![top.clone()];
    for at in 0..20_000_usize {
        let mut term = Term::named(TermId::derived(&["same", &at.to_string()]), Language::none(), "same");
        term.parents.push(top.id.clone());
        terms.push(term);
    }
    let started = std::time::Instant::now();
    let bytes = crate::vocabulary::write(Format::Json, &terms).expect("a file").bytes;
    let draft = read(Format::Json, &bytes).expect("a draft");
    assert_eq!(plan(&terms, &draft, How::Replace), Ok(Vec::new()));
    // The same names with other ids.
    for (at, term) in terms.iter_mut().enumerate().skip(1) {
        term.id = TermId::derived(&["other", &at.to_string()]);
    }
    plan(&terms, &draft, How::Merge).expect("a plan");
    let bytes = crate::vocabulary::write(Format::Csv, &terms).expect("a file").bytes;
    let draft = read(Format::Csv, &bytes).expect("a draft");
    assert_eq!(plan(&terms, &draft, How::Replace), Ok(Vec::new()));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
