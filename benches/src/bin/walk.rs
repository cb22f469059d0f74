//! How much of the machine the walk turns into answers.
//!
//!     cargo run --release -p docent-benches --bin walk -- FOLDER
//!
//! Ingests FOLDER into a fresh ledger with all analyzers. `achieved` is the wall time per picture between the first
//! and the last finished one; `ideal` is the processor time that the networks took in that very run, plus decoding
//! (measured before, on one thread), divided by the cores. Run it on a machine that does nothing else.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::{ProcessTime, ThreadTime};
use docent::app::{Access, App, IngestRequest};
use docent::config::{Config, Overrides};
use docent::progress::Progress;
use docent::shutdown::Shutdown;
use docent_pipelines::image::{DecodeLimits, Image};

fn main() -> anyhow::Result<()> {
    let folder = docent_benches::folder_argument("pictures")?;
    let limits = DecodeLimits::default();
    let decode = files_cpu(&folder, &limits)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(folder, decode))
}

/// Mean processor time to decode one of the pictures.
fn files_cpu(folder: &std::path::Path, limits: &DecodeLimits) -> anyhow::Result<Duration> {
    let (mut cpu, mut count) = (Duration::ZERO, 0);
    for path in docent_benches::files(folder)? {
        let bytes = std::fs::read(path)?;
        let start = ThreadTime::now();
        if Image::decode(&bytes, limits).is_ok() {
            cpu += start.elapsed();
            count += 1;
        }
    }
    Ok(cpu / count.max(1))
}

async fn measure(folder: std::path::PathBuf, decode: Duration) -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let overrides = Overrides { data_dir: Some(data.path().to_path_buf()), ..Overrides::default() };
    let app = App::open(Config::load(&overrides)?, Access::Exclusive).await?;
    let progress = Arc::new(Progress::default());
    let watched = Arc::clone(&progress);
    let process = ProcessTime::now();
    // The first finished picture starts the clock: models are loaded, caches are warm.
    let clock = tokio::spawn(async move {
        let (mut first, mut last) = (None, None);
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        loop {
            tick.tick().await;
            let now = watched.snapshot();
            let done = now.done + now.failed;
            if done > 0 && first.is_none() {
                first = Some((Instant::now(), ProcessTime::now(), done));
            }
            if last.is_none_or(|(_, _, before)| before != done) {
                last = Some((Instant::now(), ProcessTime::now(), done));
            }
            if !now.scanning && done > 0 && done == now.to_do {
                return (first, last);
            }
        }
    });
    let request = IngestRequest { paths: vec![folder], only: None, wait: false };
    let summary = app.ingest(request, Arc::clone(&progress), &Shutdown::new()).await?;
    let cpu_total = process.elapsed();
    let (Some((t0, c0, n0)), Some((t1, c1, n1))) = clock.await? else {
        anyhow::bail!("no picture was analyzed")
    };
    anyhow::ensure!(n1 > n0, "too few pictures to measure");
    let pictures = (n1 - n0) as f64;
    let cores = std::thread::available_parallelism()?.get() as f64;
    let achieved = (t1 - t0).as_secs_f64() / pictures;
    let busy = c1.duration_since(c0).as_secs_f64() / pictures;
    let all = (summary.analyzed + summary.failed) as f64;
    println!(
        "pictures {all}, cores {cores}, wall {:.1} s in all, processor {:.1} s",
        summary.elapsed_seconds,
        cpu_total.as_secs_f64()
    );
    println!("{:<44} {:>8} {:>10}", "per picture", "inputs", "cpu ms");
    let mut networks = 0.0;
    for network in &summary.networks {
        let ms = network.cpu_seconds / all * 1e3;
        networks += ms;
        println!("{:<44} {:>8.2} {:>10.2}", network.model.to_string(), network.inputs as f64 / all, ms);
    }
    let decode = decode.as_secs_f64() * 1e3;
    println!("{:<44} {:>8.2} {:>10.2}", "decode", 1.0, decode);
    let ideal = (networks + decode) / cores;
    println!("ideal     {ideal:>8.2} ms wall per picture ({:.2} pictures/s)", 1e3 / ideal);
    println!("achieved  {:>8.2} ms wall per picture ({:.2} pictures/s)", achieved * 1e3, 1.0 / achieved);
    println!("efficiency {:.3}", ideal / (achieved * 1e3));
    let other = busy * 1e3 - networks - decode;
    println!(
        "the rest: {other:.2} ms processor per picture outside of networks and decoding (resizing, text check, ledger),"
    );
    println!(
        "          {:.2} ms per picture and core idle or taken by others",
        achieved * 1e3 - busy * 1e3 / cores
    );
    app.close().await;
    Ok(())
}
