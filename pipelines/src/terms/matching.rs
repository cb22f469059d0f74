//! Many rules against many vectors.

use super::{Rule, logistic};
use crate::vector::dot;

/// Rules of one space, laid out for many vectors.
#[derive(Debug, Clone)]
pub struct Matcher {
    dimensions: usize,
    /// Row by row.
    weights: Vec<f32>,
    /// For each rule: its bias, and the least value of `weights · vector` that is offered.
    limits: Vec<(f64, f32)>,
}

/// A term that is offered for a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    /// The place of the vector.
    pub vector: usize,
    /// The place of the rule.
    pub rule: usize,
    /// The term's probability, 0..=1.
    pub probability: f64,
}

/// Rules that are compared with a vector before the next vector comes: as many as stay in a core's cache.
const AT_ONCE: usize = 64;
/// Products of a rule and a vector that take some ten milliseconds: less is not worth a thread.
const WORTH_A_THREAD: usize = 200_000;

impl Matcher {
    /// A matcher for vectors of so many values. `None` if a rule has another number of weights.
    pub fn new<'a>(dimensions: usize, rules: impl IntoIterator<Item = &'a Rule>) -> Option<Self> {
        let (mut weights, mut limits) = (Vec::new(), Vec::new());
        for rule in rules {
            if rule.weights.len() != dimensions {
                return None;
            }
            weights.extend_from_slice(&rule.weights);
            limits.push((rule.bias, rule.least_product()));
        }
        Some(Self { dimensions, weights, limits })
    }

    /// What is offered for each of `vectors`, which follow each other in one slice, by the vectors' order. Much work is shared by
    /// all cores.
    pub fn offers(&self, vectors: &[f32]) -> Vec<Offer> {
        if self.dimensions == 0 {
            return Vec::new();
        }
        let count = vectors.len() / self.dimensions;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = cores.min(count.saturating_mul(self.limits.len()) / WORTH_A_THREAD).max(1);
        let each = count.div_ceil(threads).max(1);
        let mut parts = vectors.chunks(each * self.dimensions).enumerate();
        let Some((_, first)) = parts.next() else { return Vec::new() };
        std::thread::scope(|scope| {
            let rest: Vec<_> =
                parts.map(|(part, vectors)| scope.spawn(move || self.part(part * each, vectors))).collect();
            let mut offers = self.part(0, first);
            for part in rest {
                // A thread that panicked takes the panic along.
                offers.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            offers
        })
    }

    /// The same for some of them, of which the first has the place `first`.
    fn part(&self, first: usize, vectors: &[f32]) -> Vec<Offer> {
        let mut offers = Vec::new();
        let blocks = self.weights.chunks(AT_ONCE * self.dimensions).zip(self.limits.chunks(AT_ONCE));
        for (block, (weights, limits)) in blocks.enumerate() {
            for (place, vector) in vectors.chunks_exact(self.dimensions).enumerate() {
                let rows = weights.chunks_exact(self.dimensions).zip(limits).enumerate();
                for (row, (weights, &(bias, least))) in rows {
                    let value = dot(weights, vector);
                    if value >= least {
                        let probability = logistic(f64::from(value) + bias);
                        offers.push(Offer {
                            vector: first + place,
                            rule: block * AT_ONCE + row,
                            probability,
                        });
                    }
                }
            }
        }
        offers.sort_by_key(|offer| (offer.vector, offer.rule));
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rules_say_what_each_says_alone() {
        let mut random = fastrand::Rng::with_seed(1);
        let dimensions = 37;
        let mut values = |n: usize| (0..n).map(|_| random.f32() * 2.0 - 1.0).collect::<Vec<f32>>();
        let rules: Vec<Rule> = (0..150)
            .map(|n| Rule { weights: values(dimensions), bias: -1.0, least: 0.3 + f64::from(n) / 400.0 })
            .collect();
        // So many that all cores share the work.
        let vectors = values(dimensions * (8 * WORTH_A_THREAD / 150 + 1));
        let matcher = Matcher::new(dimensions, &rules).expect("fits");
        let offers = matcher.offers(&vectors);
        let mut expected = Vec::new();
        for (vector, values) in vectors.chunks_exact(dimensions).enumerate() {
            for (rule, one) in rules.iter().enumerate() {
                let probability = one.probability(values);
                if probability >= one.least {
                    expected.push((vector, rule));
                }
            }
        }
        assert!(expected.len() > 100, "{}", expected.len());
        assert_eq!(offers.iter().map(|offer| (offer.vector, offer.rule)).collect::<Vec<_>>(), expected);
        for offer in offers {
            let alone = rules[offer.rule].probability(&vectors[offer.vector * dimensions..][..dimensions]);
            assert!((offer.probability - alone).abs() < 1e-5);
        }
        assert!(Matcher::new(dimensions + 1, &rules).is_none());
        assert!(Matcher::new(0, []).expect("fits").offers(&vectors).is_empty());
    }
}
