//! Where the hits of a search become weak: a score that chance gives to one of so many pictures says nothing.
//!
//! Most pictures have nothing to do with a question. Their scores lie around a middle, with a spread that differs from question
//! to question, so no fixed score separates good from bad. A sample of the archive shows both: the ids of assets are hashes of
//! their content, so the first of them are as good as drawn by lot. Middle and spread come from the lower half of the sample's
//! scores (the median, and its distance to the 16th percentile, which is one deviation of a normal distribution), because
//! pictures that fit lie in the upper half. A score is weak below the one that a single picture of as many unrelated ones would
//! be expected to reach.

use std::collections::HashSet;

use docent_pipelines::VectorSpace;

use super::SearchError;
use crate::store::Catalog;
use crate::vectors::VectorIndex;

/// Assets in the sample.
const SAMPLE: u32 = 512;
/// A smaller sample says too little.
const LEAST: usize = 32;
/// One deviation below the middle of a normal distribution.
const LOW: f64 = 0.158_655;

/// The score below which hits for `query` in `space` are weak; `None` if there are too few pictures to tell.
pub(super) async fn weak_from(
    catalog: &dyn Catalog,
    index: &dyn VectorIndex,
    space: &VectorSpace,
    query: &[f32],
) -> Result<Option<f32>, SearchError> {
    let sample: HashSet<_> = catalog.assets_beginning("", SAMPLE).await?.into_iter().collect();
    if sample.len() < LEAST {
        return Ok(None);
    }
    let told = index.search(space, query, sample.len(), Some(&sample)).await?;
    let all = index.count(space).await?;
    Ok(of_scores(told.into_iter().map(|neighbor| neighbor.score).collect(), all))
}

fn of_scores(mut scores: Vec<f32>, all: u64) -> Option<f32> {
    scores.retain(|score| score.is_finite());
    if scores.len() < LEAST {
        return None;
    }
    scores.sort_by(f32::total_cmp);
    let at = |share: f64| f64::from(scores[((scores.len() - 1) as f64 * share).round() as usize]);
    let (middle, low) = (at(0.5), at(LOW));
    let weak = middle + deviations(all.max(scores.len() as u64)) * (middle - low);
    Some(weak.clamp(-1.0, 1.0) as f32)
}

/// How many deviations above the middle the highest of `count` normally distributed numbers is expected, about: where one of
/// them is left above. Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.2.23; the error is below 0.00045.
fn deviations(count: u64) -> f64 {
    let t = (2.0 * (count.max(2) as f64).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_the_normal_distribution() {
        for (count, expected) in
            [(2, 0.0), (10, 1.281_552), (100, 2.326_348), (1000, 3.090_232), (1_000_000, 4.753_424)]
        {
            assert!((deviations(count) - expected).abs() < 4.5e-4, "{count}: {}", deviations(count));
        }
    }

    /// Scores around `middle`, evenly spread over the percentiles of a normal distribution.
    fn unrelated(count: u64, middle: f64, deviation: f64) -> Vec<f32> {
        let half = (1..=count / 2).map(|place| deviations((count / place).max(2)) * deviation);
        half.flat_map(|away| [(middle + away) as f32, (middle - away) as f32]).collect()
    }

    #[test]
    fn weak_is_what_chance_gives_however_many_pictures_fit() {
        let noise = unrelated(500, 0.02, 0.05);
        let weak = of_scores(noise.clone(), 5000).expect("can be told");
        assert!((f64::from(weak) - (0.02 + 3.54 * 0.05)).abs() < 0.03, "{weak}");
        let more = of_scores(noise.clone(), 500_000).expect("can be told");
        assert!(more > weak, "in a large archive chance reaches higher");
        // A tenth of the archive fits: that moves the border little.
        let fitting: Vec<f32> = noise.iter().copied().chain((0..50).map(|_| 0.4)).collect();
        let with_fitting = of_scores(fitting, 5000).expect("can be told");
        assert!((with_fitting - weak).abs() < 0.04, "{with_fitting} and {weak}");
        assert!(with_fitting < 0.4);
    }

    #[test]
    fn nothing_is_said_of_too_few_pictures() {
        assert_eq!(of_scores(vec![0.1; LEAST - 1], 1000), None);
        assert_eq!(of_scores(vec![f32::NAN; 100], 1000), None);
        assert_eq!(of_scores(vec![0.1; LEAST], 1000), Some(0.1), "all the same");
    }
}
