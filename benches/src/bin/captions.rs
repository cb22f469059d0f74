//! How probable captions are, for choosing the threshold at which one is offered.
//!
//!     cargo run --release -p docent-benches --bin captions -- FOLDER

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use docent_models::captioning::{self, CaptionRequest, Strategy};
use docent_models::session::SessionOptions;
use docent_models::{Pack, Task, embedding};

fn main() -> anyhow::Result<()> {
    let folder = docent_benches::folder_argument("pictures")?;
    let pack = Pack::open(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))?;
    let options = SessionOptions::default();
    let spec = pack.model(Task::ImageEmbedding)?.input()?.clone();
    let mut images = embedding::load_image(&pack, &options)?;
    let mut captioner = captioning::load(&pack, &options)?;
    for (what, strategy) in [("greedy", Strategy::Greedy), ("beam 3", Strategy::Beam { width: 3 })] {
        let mut probabilities = Vec::new();
        for (name, image) in docent_benches::pictures(&folder)? {
            let tokens = images.run(&[spec.prepare(image.picture())?.tensor])?.remove(0).tokens;
            let caption = captioner.run(&[CaptionRequest { tokens, strategy }])?.remove(0);
            let probability = f64::from(caption.mean_log_probability).exp();
            println!("{what} {probability:.3} {name}: {}", caption.text);
            probabilities.push(probability);
        }
        let quantiles = [0.1, 0.25, 0.5, 0.75, 0.9].map(|q| docent_benches::quantile(&mut probabilities, q));
        println!("{what}: quantiles 10/25/50/75/90 %: {quantiles:.3?}");
        for threshold in [0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60] {
            let kept = probabilities.iter().filter(|p| **p >= threshold).count();
            println!(
                "{what}: {:.1} % at {threshold:.2} or more",
                kept as f64 / probabilities.len() as f64 * 100.0
            );
        }
    }
    Ok(())
}
