//! What the walk, its feeders and its repairs ask of a large archive: a row for every statement of control.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use docent::queue::{AnalyzeAsset, Lane};
use docent::store::{
    FileStamp, Finished, FoundFile, LeaseFilter, LeaseRequest, Outcome, OutcomeState, Page, PictureFacts,
    Requeue, Run, Wanted,
};
use docent_benches::quantile;
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Confidence, Kind, Suggestion, VectorSpace};

use crate::archive::Archive;
use crate::plans::Plans;

/// Each is asked so often.
const TURNS: usize = 20;
/// Assets of a portion that is queued again.
const PORTION: usize = 2000;
const OWNER: &str = "bench/feeder";

/// Times and statements by question, in the order in which they were first asked.
struct Report<'a> {
    plans: &'a Plans,
    rows: Vec<(&'static str, Vec<f64>, Vec<String>)>,
}

impl Report<'_> {
    async fn time<T, E>(
        &mut self,
        what: &'static str,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.plans.forget();
        let begin = Instant::now();
        let answer = question.await?;
        let took = begin.elapsed().as_secs_f64() * 1000.0;
        match self.rows.iter_mut().find(|(name, ..)| *name == what) {
            Some((_, times, statements)) => {
                times.push(took);
                statements.extend(self.plans.heard());
            }
            None => self.rows.push((what, vec![took], self.plans.heard())),
        }
        Ok(answer)
    }
}

/// Asks everything, and prints the table.
pub async fn measure(archive: &Archive, plans: &Plans) -> anyhow::Result<()> {
    let mut report = Report { plans, rows: Vec::new() };
    for turn in 0..TURNS {
        ask(archive, &mut report, turn).await?;
    }
    let wanted = wanted();
    let store = &archive.store;
    report.time("requeue: everything that failed", store.requeue(Requeue::Failed, &wanted, None)).await?;
    println!("\n{:<44} {:>8} {:>8} {:>8}  plans", "milliseconds", "p50", "p95", "worst");
    for (name, times, statements) in &mut report.rows {
        statements.sort();
        statements.dedup();
        let [p50, p95, worst] = [0.5, 0.95, 1.0].map(|share| quantile(times, share));
        let plan = archive.explain(statements, false).await?;
        println!("{name:<44} {p50:>8.2} {p95:>8.2} {worst:>8.2}  {plan}");
    }
    Ok(())
}

fn wanted() -> Wanted {
    [AnalyzerId::Tags, AnalyzerId::Text]
        .map(|analyzer| (analyzer, ModelRef::new(format!("{}-model", analyzer.as_str()), "2")))
        .into()
}

async fn ask(archive: &Archive, report: &mut Report<'_>, turn: usize) -> anyhow::Result<()> {
    let store = &archive.store;
    let wanted = wanted();
    let request = |lane| LeaseRequest {
        owner: OWNER.to_owned(),
        limit: 64,
        duration: Duration::from_secs(600),
        lane: Some(lane),
        wanted: wanted.clone(),
    };

    // Work for this turn: assets from all over the archive are done once more, and a folder is read.
    let again = archive.some(turn, PORTION);
    report.time("requeue: a portion of 2000", store.requeue(Requeue::All, &wanted, Some(&again))).await?;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let files: Vec<FoundFile> = (0..64)
        .map(|number| FoundFile {
            uri: format!("file:///new/{since}/{number}.jpg"),
            stamp: FileStamp { bytes: 1, modified_ns: 1 },
            hash: ContentHash::of(format!("{since} {number}").as_bytes()).into(),
            lane: Lane::Backfill,
            owner: None,
        })
        .collect();
    let places: Vec<String> = files.iter().map(|file| file.uri.clone()).collect();
    report.time("look up 64 places", store.known_files(&places)).await?;
    report.time("register 64 new pictures", store.register(&files, &wanted)).await?;
    report.time("register 64 known pictures", store.register(&files, &wanted)).await?;
    let folder = format!("file:///years/{turn}");
    report.time("places below a folder, 256", store.places_below(&folder, None, 256)).await?;
    report.time("note places that are gone, 64", store.note_places(&places, &[])).await?;

    // A feeder.
    report.time("waiting", store.waiting(&wanted)).await?;
    report.time("outstanding", store.outstanding(&wanted)).await?;
    let nobodys = Wanted::from([(AnalyzerId::Faces, ModelRef::new("faces-model", "2"))]);
    report.time("waiting, for what is not pending", store.waiting(&nobodys)).await?;
    report.time("lease of an empty lane", store.lease(&request(Lane::Interactive))).await?;
    let jobs = report.time("lease of 64", store.lease(&request(Lane::Backfill))).await?;
    anyhow::ensure!(jobs.len() == 64, "{} jobs were leased", jobs.len());
    let assets: Vec<AssetId> = jobs.iter().map(|job| job.asset.clone()).collect();
    report.time("prolong 64 leases", store.prolong(&assets, OWNER, Duration::from_secs(1200))).await?;
    report.time("waiting, with 64 leased", store.waiting(&wanted)).await?;
    let page = Page { limit: 50, after: None };
    report.time("leases, a page", store.leases(&LeaseFilter::default(), &page)).await?;

    // A walk: 33 pictures.
    for job in &jobs[..33] {
        report.time("begin a run", store.begin_run(job, OWNER)).await?;
    }
    report.time("begin a run that has begun", store.begin_run(&jobs[0], OWNER)).await?;
    let finished: Vec<Finished> = jobs[..33].iter().map(|job| finish(job, &wanted, turn)).collect();
    report.time("record a picture", store.record(&finished[..1])).await?;
    report.time("record 32 pictures", store.record(&finished[1..])).await?;
    report.time("begin a run that is done", store.begin_run(&jobs[0], OWNER)).await?;
    let space = VectorSpace::from_name("picture/joint-vision@1");
    report.time("who has vectors, of 64", store.holders(&space, &assets)).await?;

    // What is left over, by each of the ways in which leases end.
    report.time("hand one back", store.hand_back(&jobs[33].asset)).await?;
    let one = LeaseFilter { assets: Some(vec![jobs[34].asset.clone()]), ..LeaseFilter::default() };
    report.time("release a lease", store.release(&one)).await?;
    let left = Duration::ZERO..Duration::from_secs(3600);
    report.time("take the leases of a lane back", store.take_back(Lane::Backfill, left.clone())).await?;
    report.time("take back, nothing leased", store.take_back(Lane::Backfill, left)).await?;
    store.lease(&request(Lane::Backfill)).await?;
    report.time("hand 64 back", store.hand_back_all(OWNER)).await?;
    report.time("recover, nothing leased", store.recover(3)).await?;

    // What every process does now and then.
    report.time("beat", store.beat("bench", Duration::from_secs(8))).await?;
    report.time("ping", store.ping()).await?;
    report.time("go on with a job, there is none", store.advance_job(None)).await?;
    report
        .time("tell events, there are none", store.take_sink("bench", OWNER, Duration::from_secs(30)))
        .await?;
    report.time("counts", store.counts(&wanted)).await?;
    report.time("upkeep: sweep of 2000", store.upkeep()).await?;
    Ok(())
}

/// A run that found six things.
fn finish(job: &AnalyzeAsset, wanted: &Wanted, turn: usize) -> Finished {
    let model = &wanted[&AnalyzerId::Tags];
    let suggestion = |number: usize| {
        let claim = Claim {
            kind: Kind::Tag,
            value: format!("thing {}", (turn * 7 + number) % 200),
            confidence: Confidence::new(0.3 + number as f64 / 10.0),
            region: None,
            implies: Vec::new(),
        };
        Suggestion::new(job.asset.clone(), AnalyzerId::Tags, claim, model.clone())
    };
    let done = |(analyzer, model)| Outcome { analyzer, model, state: OutcomeState::Done };
    Finished {
        run: Run {
            asset: job.asset.clone(),
            owner: OWNER.to_owned(),
            picture: Some(PictureFacts::new(30, 20, "jpeg")),
        },
        analysis: Analysis {
            suggestions: (0..6).map(suggestion).collect(),
            completed: BTreeMap::from_iter(wanted.clone()),
            ..Analysis::default()
        },
        outcomes: wanted.clone().into_iter().map(done).collect(),
    }
}
