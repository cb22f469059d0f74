//! Cases for the review log as a whole.

use docent::store::{
    Decision, LoggedReview, Page, ReviewFilter, Reviewer, Store, StoreError, SuggestionFilter,
};
use docent_pipelines::{Kind, Status};

use super::jobs::{MANY, begin, finish};
use super::{analyze, claim, content, file, listed, register};

async fn log(store: &dyn Store, filter: &ReviewFilter, limit: u32) -> Vec<LoggedReview> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store.review_log(filter, &Page { limit, after }).await.expect("lists");
        assert!(page.rows.len() <= limit as usize);
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

fn by(name: &str) -> ReviewFilter {
    ReviewFilter { reviewer: Some(name.to_owned()), ..ReviewFilter::default() }
}

/// Who decided what: newest first, in pages that are stable and whole, also where few of many entries pass.
pub async fn the_review_log_tells_who_decided_what(store: &dyn Store) {
    assert_eq!(log(store, &ReviewFilter::default(), 10).await, []);
    register(store, 1..3).await;
    let claims = [claim(Kind::Tag, "cat", 0.9, None), claim(Kind::Object, "ball", 0.8, Some(0.1))];
    analyze(store, 1, &claims).await;
    let row = async |kind: Kind| {
        let filter = SuggestionFilter { kind: Some(kind), ..SuggestionFilter::default() };
        listed(store, filter).await.remove(0)
    };
    let (tag, ball) = (row(Kind::Tag).await, row(Kind::Object).await);
    let grace = Reviewer { name: "Grace".to_owned(), client: "web".to_owned() };
    let linus = Reviewer { name: "Linus".to_owned(), client: "cli".to_owned() };
    store.decide(&tag.id, Decision::Accept, &grace).await.expect("decides");
    store.decide(&ball.id, Decision::Reject, &linus).await.expect("decides");
    store.decide(&tag.id, Decision::Undo, &linus).await.expect("decides");

    let all = log(store, &ReviewFilter::default(), 10).await;
    let told: Vec<(&str, &str, &str, Kind)> =
        all.iter().map(|row| (&*row.review.reviewer, &*row.review.action, &*row.value, row.kind)).collect();
    let expected = [
        ("Linus", "undo", "cat", Kind::Tag),
        ("Linus", "reject", "ball", Kind::Object),
        ("Grace", "accept", "cat", Kind::Tag),
    ];
    assert_eq!(told, expected);
    assert_eq!((&all[2].review.before, &all[2].review.after), (&Status::Pending, &Status::Accepted));
    assert!(all.iter().all(|row| row.asset_id == content(1).asset_id() && row.uri == file(1).uri));
    assert_eq!(all[2].review, store.reviews(&tag.id).await.expect("lists")[0], "the same entry");
    for limit in [1, 2, 3] {
        assert_eq!(log(store, &ReviewFilter::default(), limit).await, all, "pages of {limit}");
    }
    assert_eq!(log(store, &by("Grace"), 10).await, all[2..]);
    assert_eq!(log(store, &by("Nobody"), 10).await, []);
    let objects = ReviewFilter { kind: Some(Kind::Object), ..ReviewFilter::default() };
    assert_eq!(log(store, &objects, 10).await, all[1..2]);
    let both = ReviewFilter { kind: Some(Kind::Object), ..by("Grace") };
    assert_eq!(log(store, &both, 10).await, []);
    let since = |since: i64| ReviewFilter { since: Some(since), ..ReviewFilter::default() };
    assert_eq!(log(store, &since(0), 10).await, all);
    assert_eq!(log(store, &since(i64::MAX), 10).await, []);
    for after in ["x", "[]", "[\"1\",\"2\"]", "[\"x\"]"] {
        let page = Page { limit: 1, after: Some(after.to_owned()) };
        let refused = store.review_log(&ReviewFilter::default(), &page).await;
        assert!(matches!(refused, Err(StoreError::InvalidCursor(_))), "{after}");
    }

    // A page looks at so many entries and no more, and the next one goes on.
    let many: Vec<_> = (0..MANY).map(|n| claim(Kind::Tag, &format!("tag {n}"), 0.9, None)).collect();
    analyze(store, 2, &many).await;
    let sure = SuggestionFilter {
        min_confidence: Some(0.85),
        asset: Some(content(2).asset_id()),
        ..SuggestionFilter::default()
    };
    let job = finish(store, begin(store, sure, None).await).await;
    assert_eq!(job.done, MANY as u64);
    let page = store.review_log(&by("Grace"), &Page { limit: 10, after: None }).await.expect("lists");
    assert!(page.rows.is_empty() && page.next.is_some(), "{page:?}");
    assert_eq!(log(store, &by("Grace"), 10).await, all[2..]);
    assert_eq!(log(store, &ReviewFilter::default(), 1000).await.len(), MANY + 3);
}
