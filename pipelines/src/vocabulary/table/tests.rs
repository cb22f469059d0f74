use super::*;
use crate::vocabulary::{Format, Term, write};

fn rows(text: &str) -> Vec<String> {
    let draft = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let line = |key: &String| draft.terms.iter().find(|term| term.key == *key).map_or(0, |term| term.line);
    let shown = |term: &DraftTerm| {
        let labels: Vec<_> =
            term.labels.iter().map(|label| format!("{}@{}", label.text, label.language)).collect();
        let above: Vec<_> = term.parents.iter().map(line).collect();
        format!("{} {} {above:?}", term.line, labels.join(" "))
    };
    draft.terms.iter().map(shown).collect()
}

#[test]
fn headers_stand_in_any_order_case_and_spelling() {
    assert_eq!(
        rows("PARENT;Label@DE;Term\n;Tier;animal\nanimal;Hund;dog\n"),
        ["2 Tier@de animal@ []", "3 Hund@de dog@ [2]"]
    );
    assert_eq!(rows("Keyword\tBroader Term\tSynonyms\na\t\tb|c\nd\ta\t\n"), ["2 a@ b@ c@ []", "3 d@ [2]"]);
    assert_eq!(rows("sep=|\nname|pref_label@en\na|b"), ["3 a@ b@en []"]);
    assert_eq!(rows("term\nalone\n"), ["2 alone@ []"]);
}

#[test]
fn what_is_broader_is_found_by_id_address_name_and_path() {
    let id = "0123456789abcdef0123456789abcdef";
    let text = format!(
        "id,uri,term,parent\n{id},,a,\n,http://x.example/b,b,{id}\n,,c,http://x.example/b\n,,d,a > b > c\n,,c,d\n,,e,b>c|d\n"
    );
    assert_eq!(rows(&text), ["2 a@ []", "3 b@ [2]", "4 c@ [3]", "5 d@ [4]", "6 c@ [5]", "7 e@ [4, 5]"]);
    // What no row is may be in the vocabulary.
    assert_eq!(read("term,parent\na,far > away\n").expect("a table").terms[0].parents, ["far > away"]);
}

#[test]
fn rows_of_the_same_term_are_one() {
    let draft = read("term,parent,alt,threshold\na,,,\nb,a,x,\nb,a,y,0.5\nb,,z,\n").expect("a table");
    assert_eq!(draft.terms.len(), 3);
    assert_eq!((draft.terms[1].labels.len(), draft.terms[1].threshold), (3, Some(0.5)));
    assert_eq!(draft.noted[0].text, "the term 'b' is also in line 3; both became one");
}

#[test]
fn separators_inside_of_a_cell_are_escaped() {
    assert_eq!(list(r"a|b\|c| |\\|d\e|").collect::<Vec<_>>(), ["a", "b|c", r"\", r"d\e"]);
    let mut term = Term::named(TermId::derived(&["a"]), crate::vocabulary::Language::none(), r"a|b\");
    term.prompts = vec![r"a|b\".to_owned(), "c,\"d\"".to_owned()];
    let bytes = write(Format::Csv, &[term.clone()]).expect("a file").bytes;
    let draft = read(&String::from_utf8(bytes).expect("UTF-8")).expect("a table");
    assert_eq!((&draft.terms[0].prompts, &draft.terms[0].labels), (&term.prompts, &term.labels));
}

#[test]
fn an_export_is_plain() {
    let bytes = write(
        Format::Csv,
        &[Term::named(TermId::derived(&["a"]), crate::vocabulary::Language::none(), "a, b")],
    );
    let text = String::from_utf8(bytes.expect("a file").bytes).expect("UTF-8");
    let id = TermId::derived(&["a"]);
    let header = "id,uri,notation,term,alt,hidden,parent,note,prompt,threshold,enabled,heading";
    assert_eq!(text, format!("{header}\r\n{id},,,\"a, b\",,,,,,,yes,no\r\n"));
}
