//! Tells from a picture's vector which terms of the vocabulary it shows, without running a network.
//!
//! Every rule has one form: the probability of a term is the logistic function of `weights · vector + bias`. A rule is a
//! term's text vector ([`zero_shot`]), or it is learned from decided pictures ([`learn`]).

mod heads;
mod learn;
mod matching;
mod zero_shot;

pub use heads::{Heads, HeadsError, STARTER};
pub use learn::{FOLDS, LEAST_EXAMPLES, Learned, Measured, learn, measure};
pub use matching::{Matcher, Offer};
pub use zero_shot::{Background, PROMPTS, SURPRISE, calibrated, ensemble, prompts, zero_shot};

use crate::vector::dot;

/// How a term is told from a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// One for each value of a vector.
    pub weights: Vec<f32>,
    /// Added to the product.
    pub bias: f64,
    /// From this probability on the term is offered, 0..=1.
    pub least: f64,
}

impl Rule {
    /// The probability of the term for one vector, 0..=1.
    pub fn probability(&self, vector: &[f32]) -> f64 {
        self.probability_at(dot(&self.weights, vector))
    }

    /// The probability of the term for a vector with this `weights · vector`.
    pub fn probability_at(&self, product: f32) -> f64 {
        logistic(f64::from(product) + self.bias)
    }

    /// The least `weights · vector` that is offered.
    pub fn least_product(&self) -> f32 {
        (logit(self.least) - self.bias) as f32
    }
}

/// 1 / (1 + exp(-x)).
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The inverse of [`logistic`], for 0 < p < 1; what is outside counts as just inside.
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}
