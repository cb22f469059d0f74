//! The vocabulary on the page: proposed terms, the tree, one term, and files.

use docent::store::{Reviewer, TermChange, Terms};
use docent_pipelines::vocabulary::{Language, Term, TermId};
use docent_pipelines::{Kind, Status};
use serde_json::json;

use super::{IDLE, begin, counted, lists, made, shows, would_undo};
use crate::archive::{Archive, Said, tag};
use crate::browser::Browser;

fn id(name: &str) -> TermId {
    TermId::derived(&[name])
}

/// A term, and what is above it.
fn term(name: &str, parents: &[&str]) -> Term {
    let english = Language::try_from("en".to_owned()).expect("is a language");
    let parents = parents.iter().map(|parent| id(parent)).collect();
    Term { parents, ..Term::named(id(name), english, name) }
}

/// Enters terms, and does what follows from that.
async fn know(archive: &Archive, terms: Vec<Term>) {
    enter(archive, terms).await;
    settle(archive).await;
}

async fn enter(archive: &Archive, terms: Vec<Term>) {
    let by = Reviewer { name: "archivist".to_owned(), client: "cli".to_owned() };
    let changes: Vec<TermChange> = terms.into_iter().map(|term| TermChange::Put(Box::new(term))).collect();
    let seen = archive.store.vocabulary().await.expect("reads").revision;
    archive.store.change_terms(&changes, seen, &by).await.expect("changes");
}

async fn settle(archive: &Archive) {
    while archive.store.advance_terms().await.expect("goes on") {}
}

/// Names of the terms in the archive, in order.
async fn names(archive: &Archive) -> Vec<String> {
    let known = archive.store.vocabulary().await.expect("reads");
    let mut names: Vec<String> = known.terms().iter().map(|term| known.path(term)).collect();
    names.sort();
    names
}

/// The page's vocabulary.
async fn open(archive: &Archive) -> Browser {
    let browser = Browser::open(&format!("{}#view=vocabulary", archive.serve(None).await)).await;
    browser.until("document.querySelector('#terms [role=treeitem]')").await;
    browser
}

/// Names in the tree, with what is before them for their depth.
const TREE: &str = "[...document.querySelectorAll('#terms [role=treeitem]')].map(item => \
                    '-'.repeat(item.ariaLevel - 1) + item.querySelector('.name').firstChild.textContent).join()";

async fn tree(browser: &Browser, names: &str) {
    browser.until(&format!("{TREE} === {}", json!(names))).await;
}

/// Chooses a term in the tree.
async fn choose(browser: &Browser, name: &str) {
    browser.click(&format!("#terms [data-term=\"{}\"] > .node .name", id(name))).await;
    browser.until(&format!("document.querySelector('#term h2')?.textContent === {}", json!(name))).await;
}

/// Looks for a term in the dialog and takes the first.
async fn pick(browser: &Browser, words: &str, button: &str) {
    browser.until("document.getElementById('choose').open").await;
    browser.fill("#choose-words", words).await;
    browser.until(&format!("document.getElementById('choose-yes').textContent === {}", json!(button))).await;
    browser.click("#choose-yes").await;
}

const ROWS: &str = "[...document.querySelectorAll('.row')].map(row => [row.closest('.group').className.split(' ')[1], \
                    row.querySelector('.value').textContent, row.querySelector('.chip')?.textContent ?? 'pending'].join('/')).join()";

#[tokio::test]
async fn proposed_terms_are_apart_and_become_tags() {
    let said = |words: &[&str]| -> Vec<Said> {
        words.iter().enumerate().map(|(n, word)| tag(word, 0.9 - 0.05 * n as f64, &[])).collect()
    };
    let archive = Archive::with_made(vec![
        made("only proposed.png", said(&["lamp"])),
        made("many.png", said(&["dog", "a", "b", "c", "d", "e", "f"])),
        made("few.png", said(&["dog", "lamp", "lynx"])),
    ])
    .await;
    know(&archive, vec![term("animal", &[]), term("dog", &["animal"])]).await;
    let browser = begin(&archive).await;
    // What has nothing but proposed terms is not to be reviewed.
    shows(&browser, "few.png", "dog").await;
    lists(&browser, &["few.png", "many.png"]).await;
    counted(&browser, "to review", 2).await;
    browser.until(&format!("{ROWS} === 'tag/dog/pending,proposal/lamp/pending,proposal/lynx/pending'")).await;
    let title = "document.querySelector('.group.tag .value').title";
    assert_eq!(browser.value(title).await, json!("animal > dog"));
    // All is not them.
    browser.press("A").await;
    browser.until("document.getElementById('bulk-confirm').textContent === 'Accept 2'").await;
    browser.click("#bulk-cancel").await;

    browser.press("a").await;
    shows(&browser, "many.png", "dog").await;
    // Many are folded.
    browser.until(&format!("{ROWS} === 'tag/dog/pending'")).await;
    browser.click("#fold-proposals").await;
    browser.until("document.querySelectorAll('.row.proposal').length === 6").await;
    browser.click("#fold-proposals").await;
    browser.until("document.querySelectorAll('.row.proposal').length === 0").await;
    browser.press("a").await;
    browser
        .until("document.querySelector('.toast')?.textContent.includes('Nothing is left to review')")
        .await;
    counted(&browser, "to review", 0).await;

    browser.choose("filter-status", "").await;
    browser.until("document.getElementById('asset-name').textContent === 'few.png'").await;
    browser.until(&format!("{ROWS} === 'tag/dog/accepted'")).await;
    browser.click("#fold-proposals").await;
    browser
        .until(&format!("{ROWS} === 'tag/dog/accepted,proposal/lamp/pending,proposal/lynx/pending'"))
        .await;
    browser.click(".row.proposal .accept").await;
    browser.until(&format!("{ROWS} === 'tag/dog/accepted,tag/lamp/accepted,proposal/lynx/pending'")).await;
    browser.until(IDLE).await;
    would_undo(&browser, "Accepted “lamp”").await;
    let lamp = archive.suggestion("few.png", "lamp").await;
    assert_eq!((lamp.kind, lamp.status, lamp.term.is_some()), (Kind::Tag, Status::Accepted, true));
    assert_eq!(names(&archive).await, ["animal", "animal > dog", "lamp"]);
    // On other pictures it is a tag that waits.
    assert_eq!(archive.suggestion("only proposed.png", "lamp").await.kind, Kind::Tag);
    browser.click(".row.proposal .reject").await;
    browser.until(&format!("{ROWS} === 'tag/dog/accepted,tag/lamp/accepted,proposal/lynx/rejected'")).await;
    browser.until(IDLE).await;
    assert_eq!(archive.suggestion("few.png", "lynx").await.status, Status::Rejected);

    // The filter asks for them: then one leads to the next.
    browser.choose("filter-status", "pending").await;
    browser.choose("filter-kind", "proposal").await;
    shows(&browser, "many.png", "a").await;
    lists(&browser, &["many.png"]).await;
    browser.until("document.getElementById('accept-all').disabled").await;
    browser.press("r").await;
    shows(&browser, "many.png", "b").await;
    browser.press("a").await;
    shows(&browser, "many.png", "c").await;
    assert_eq!(archive.suggestion("many.png", "b").await.kind, Kind::Tag);
    browser.close().await;
}

#[tokio::test]
async fn a_renamed_term_renames_its_tags() {
    let archive = Archive::with_made(vec![made("a.png", vec![tag("dog", 0.9, &[])])]).await;
    know(&archive, vec![term("animal", &[]), term("dog", &["animal"])]).await;
    let browser = begin(&archive).await;
    shows(&browser, "a.png", "dog").await;
    browser.press("v").await;
    tree(&browser, "animal").await;
    // By keys alone.
    browser.until("(document.querySelector('#terms [tabindex=\"0\"]').focus(), true)").await;
    browser.press("\u{e014}").await;
    tree(&browser, "animal,-dog").await;
    browser.press("\u{e015}\n").await;
    browser.until("document.querySelector('#term h2')?.textContent === 'dog'").await;
    browser.fill("#term-rename", "hound\n").await;
    browser.until("document.querySelector('#term h2').textContent === 'hound'").await;
    tree(&browser, "animal,-hound").await;
    let words = "[...document.querySelectorAll('.words li')].map(word => word.querySelector('span').textContent + '/' + \
                 word.querySelector('small').textContent).join()";
    browser.until(&format!("{words} === 'hound/name,dog/synonym'")).await;
    browser.fill("#term-synonym", "pooch\n").await;
    browser.until(&format!("{words} === 'hound/name,dog/synonym,pooch/synonym'")).await;
    settle(&archive).await;
    assert_eq!(archive.suggestion("a.png", "hound").await.term, Some(id("dog")));
    browser.click("#vocabulary-close").await;
    shows(&browser, "a.png", "hound").await;
    // Switched off, it says nothing any more.
    browser.press("v").await;
    browser.until("!document.getElementById('vocabulary').hidden").await;
    tree(&browser, "animal,-hound").await;
    browser.click(&format!("#terms [data-term=\"{}\"] > .node .name", id("dog"))).await;
    browser.until("document.querySelector('#term h2')?.textContent === 'hound'").await;
    browser.click("#term-enabled").await;
    browser.until("document.querySelector('#terms .off .chip')?.textContent === 'off'").await;
    settle(&archive).await;
    assert_eq!(archive.suggestion("a.png", "hound").await.status, Status::Superseded);
    // The log tells what became of it.
    browser.click("#term .history summary").await;
    let log = "[...document.querySelectorAll('.log li')].map(entry => entry.querySelector('span').textContent).join('; ')";
    browser
        .until(&format!(
            "{log} === 'changed: switched off; changed: 1 word more; changed: “dog” → “hound”; added'"
        ))
        .await;
    browser.close().await;
}

#[tokio::test]
async fn terms_are_found_moved_merged_and_removed() {
    let archive = Archive::empty().await;
    know(
        &archive,
        vec![
            term("animal", &[]),
            term("plant", &[]),
            term("dog", &["animal"]),
            term("hound", &["plant"]),
            term("guide dog", &["hound"]),
        ],
    )
    .await;
    let browser = open(&archive).await;
    tree(&browser, "animal,plant").await;
    browser.click(&format!("#terms [data-term=\"{}\"] .twisty", id("plant"))).await;
    tree(&browser, "animal,plant,-hound").await;
    browser.press("/").await;
    browser.until("document.activeElement.id === 'term-words'").await;
    browser.press("do").await;
    tree(&browser, "dog,guide dog").await;
    choose(&browser, "guide dog").await;
    assert_eq!(
        browser.value("document.querySelector('#term .note').textContent").await,
        json!("plant > hound > guide dog")
    );
    browser.click("#term-words").await;
    browser.press("\u{e003}\u{e003}").await;
    tree(&browser, "animal,plant,-hound").await;

    choose(&browser, "hound").await;
    browser.click("#term-move").await;
    pick(&browser, "ani", "Move below “animal”").await;
    browser.until("document.querySelector('#term .note').textContent === 'animal > hound'").await;
    assert!(names(&archive).await.contains(&"animal > hound > guide dog".to_owned()));
    // What would be no tree is refused, and said.
    browser.click(".term .links .link").await;
    browser.until("document.querySelector('#term h2').textContent === 'animal'").await;
    browser.click("#term-move").await;
    pick(&browser, "hound", "Move below “hound”").await;
    browser
        .until("document.querySelector('.toast.error')?.textContent.includes('broader than themselves')")
        .await;
    browser.click(".toast.error [aria-label=Dismiss]").await;
    assert_eq!(
        browser.value("document.getElementById('term-remove').disabled").await,
        json!(true),
        "there is something below it"
    );

    tree(&browser, "animal,plant").await;
    browser.click(&format!("#terms [data-term=\"{}\"] .twisty", id("animal"))).await;
    tree(&browser, "animal,-dog,-hound,plant").await;
    choose(&browser, "hound").await;
    browser.click("#term-merge").await;
    pick(&browser, "dog", "Merge into “dog”").await;
    browser.until("document.querySelector('#term h2').textContent === 'dog'").await;
    tree(&browser, "animal,-dog,plant").await;
    assert_eq!(names(&archive).await, ["animal", "animal > dog", "animal > dog > guide dog", "plant"]);

    choose(&browser, "plant").await;
    browser.fill("#term-narrower", "moss\n").await;
    browser
        .until("[...document.querySelectorAll('.term .link')].some(link => link.textContent === 'moss')")
        .await;
    browser.click(".term .link").await;
    browser.until("document.querySelector('#term h2').textContent === 'moss'").await;
    browser.fill("#term-note", "Not ferns.").await;
    browser.click("#term-note + button").await;
    browser.until("document.getElementById('announce').textContent === 'The note is saved.'").await;
    browser.click(".finding summary").await;
    browser.fill("#term-prompts", "a photo of moss").await;
    browser.fill("#term-threshold", "0.75").await;
    browser.fill("#term-uri", "https://example.org/terms/moss").await;
    browser.fill("#term-notation", "17.4").await;
    browser.click(".fields button").await;
    browser.until("document.getElementById('announce').textContent === 'Saved'").await;
    let known = archive.store.vocabulary().await.expect("reads");
    let moss = known.find("moss").expect("is there");
    assert_eq!((moss.threshold, moss.notation.as_deref()), (Some(0.75), Some("17.4")));
    assert_eq!(
        (moss.uri.as_deref(), moss.prompts.as_slice()),
        (Some("https://example.org/terms/moss"), &["a photo of moss".to_owned()][..])
    );
    browser.click("#term-remove").await;
    browser.until("document.getElementById('confirm').open").await;
    browser.click("#confirm-no").await;
    assert_eq!(names(&archive).await.len(), 5);
    browser.click("#term-remove").await;
    browser.click("#confirm-yes").await;
    browser.until("document.querySelector('#term .empty')").await;
    assert_eq!(names(&archive).await.len(), 4);
    browser.fill("#term-name", "stone\n").await;
    browser.until("document.querySelector('#term h2')?.textContent === 'stone'").await;
    tree(&browser, "animal,-dog,plant,stone").await;
    browser.close().await;
}

#[tokio::test]
async fn a_file_shows_what_it_would_change() {
    let archive = Archive::empty().await;
    know(&archive, vec![term("animal", &[]), term("stone", &[])]).await;
    let browser = open(&archive).await;
    let file = |name: &str, text: &str| {
        format!(
            "(() => {{ const data = new DataTransfer(); data.items.add(new File([{}], {})); \
             const input = document.getElementById('import-file'); input.files = data.files; \
             input.dispatchEvent(new Event('change')); return true; }})()",
            json!(text),
            json!(name)
        )
    };
    browser.value(&file("list.txt", "animal\n\tcat\n")).await;
    browser
        .until("document.querySelector('#import-told .kinds')?.textContent === '1 new, 0 changed, 0 removed'")
        .await;
    browser.until("document.querySelector('.changes').textContent === '+ cat'").await;
    assert_eq!(names(&archive).await, ["animal", "stone"]);
    browser.click("#import-replace").await;
    browser.until("document.getElementById('import-yes').textContent === 'Import, and remove 1'").await;
    browser.until("document.querySelector('.changes').textContent === '+ cat− stone'").await;
    browser.click("#import-replace").await;
    browser.until("document.getElementById('import-yes').textContent === 'Import'").await;
    browser.click("#import-yes").await;
    browser.until("document.querySelector('.toast.info')?.textContent.includes('1 new')").await;
    assert_eq!(names(&archive).await, ["animal", "animal > cat", "stone"]);
    // What is no vocabulary is not taken, and it is said why.
    browser.value(&file("broken.ttl", "no turtle")).await;
    browser.until("document.querySelector('#import-told .error')?.textContent.includes('line 1')").await;
    assert_eq!(browser.value("document.getElementById('import-yes').disabled").await, json!(true));
    browser.click("#import-no").await;
    let links =
        "[...document.querySelectorAll('#vocabulary-export a')].map(link => link.href.split('?')[1]).join()";
    let expected = "format=json,format=csv,format=keywords,format=turtle,format=rdfxml";
    assert_eq!(browser.value(links).await, json!(expected));
    browser.close().await;
}

#[tokio::test]
async fn many_terms_keep_the_page_small() {
    let archive = Archive::empty().await;
    let mut terms = vec![term("animal", &[])];
    terms.extend((0..50_000).map(|n| term(&format!("kind {n:05}"), &["animal"])));
    enter(&archive, terms).await;
    let browser = open(&archive).await;
    browser.click("#terms .twisty").await;
    browser.until("document.querySelectorAll('#terms [role=treeitem]').length === 201").await;
    browser.until("document.querySelector('#terms .more').textContent === 'Show 200 more of 49,800'").await;
    browser.click("#terms .more button").await;
    browser.until("document.querySelectorAll('#terms [role=treeitem]').length === 401").await;
    browser.fill("#term-words", "kind 4999").await;
    browser.until("document.querySelectorAll('#terms [role=treeitem]').length === 10").await;
    choose(&browser, "kind 49995").await;
    // An address leads to a term.
    let address = browser.value("location.href").await;
    browser.go("about:blank").await;
    browser.go(address.as_str().expect("is an address")).await;
    browser.until("document.querySelector('#term h2')?.textContent === 'kind 49995'").await;
    browser.close().await;
}
