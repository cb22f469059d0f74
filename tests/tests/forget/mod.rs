//! What is forgotten is nowhere any more, and what is not is as it was.

mod by_hand;
mod killed;
mod traces;

use std::sync::Arc;

use docent::app::LedgerVectors;
use docent::forget::Forgetter;
use docent::queue::Lane;
use docent::store::{
    FileStamp, Finished, Forget, ForgetRow, ForgetState, FoundFile, Outcome, OutcomeState, Reviewer, Run,
    Store, Wanted,
};
use docent::vectors::{EmbeddedIndex, VectorIndex};
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{
    Analysis, AnalyzerId, AssetId, Confidence, Kind, Owner, Region, Suggestion, VectorRecord, VectorSpace,
};

/// A picture that is made up, and what is known of it.
struct Known {
    uri: String,
    hash: ContentHash,
    owner: Option<Owner>,
    said: Vec<(Kind, String)>,
    vector: Vec<f32>,
}

impl Known {
    fn asset(&self) -> AssetId {
        self.hash.asset_id()
    }
}

fn wanted() -> Wanted {
    [(AnalyzerId::Decode, "decoder"), (AnalyzerId::Tags, "tagger"), (AnalyzerId::Text, "reader")]
        .map(|(analyzer, id)| (analyzer, ModelRef::new(id, "1")))
        .into()
}

fn space() -> VectorSpace {
    VectorSpace::from_name("picture/p@1")
}

fn owner(name: &str) -> Owner {
    Owner::try_from(name.to_owned()).expect("a name")
}

fn somebody() -> Reviewer {
    Reviewer { name: "Ada".to_owned(), client: "test".to_owned() }
}

/// Registers pictures and records what is known of them, as walks would.
async fn fill(store: &dyn Store, pictures: &[Known]) {
    for pictures in pictures.chunks(100) {
        let file = |known: &Known| FoundFile {
            uri: known.uri.clone(),
            stamp: FileStamp { bytes: 100, modified_ns: 7 },
            hash: known.hash.into(),
            lane: Lane::Backfill,
            owner: known.owner.clone(),
        };
        let files: Vec<FoundFile> = pictures.iter().map(file).collect();
        store.register(&files, &wanted()).await.expect("registers");
        let runs: Vec<Finished> = pictures.iter().map(finished).collect();
        store.record(&runs).await.expect("records");
    }
}

fn finished(known: &Known) -> Finished {
    let suggestion = |(kind, value): &(Kind, String)| {
        let analyzer = if *kind == Kind::Text { AnalyzerId::Text } else { AnalyzerId::Tags };
        let claim = Claim {
            kind: *kind,
            value: value.clone(),
            confidence: Confidence::new(0.9),
            region: Region::from_corners(0.1, 0.1, 0.5, 0.5).filter(|_| *kind == Kind::Text),
            implies: Vec::new(),
        };
        Suggestion::new(known.asset(), analyzer, claim, wanted()[&analyzer].clone())
    };
    let analysis = Analysis {
        suggestions: known.said.iter().map(suggestion).collect(),
        completed: wanted(),
        vectors: vec![VectorRecord::new(known.asset(), space(), None, known.vector.clone())],
        spaces: [space()].into(),
        ..Analysis::default()
    };
    let done = |(analyzer, model)| Outcome { analyzer, model, state: OutcomeState::Done };
    Finished {
        run: Run { asset: known.asset(), owner: "test".to_owned(), picture: None },
        analysis,
        outcomes: wanted().into_iter().map(done).collect(),
    }
}

/// The index that searches the ledger's vectors.
fn embedded(store: &Arc<dyn Store>) -> Arc<dyn VectorIndex> {
    Arc::new(EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(store)))))
}

async fn forget(forgetter: &Forgetter, what: Forget) -> ForgetRow {
    let mut row = forgetter.start(what, somebody()).await.expect("begins");
    while row.state != ForgetState::Done {
        row = forgetter.step(Some(row.id)).await.expect("goes on").expect("is open");
    }
    row
}
