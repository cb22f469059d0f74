//! Rules learned from decided pictures.
//!
//! Logistic regression on the stored vectors, drawn towards the rule that is there already: with few examples it stays near
//! the term's words, with many it follows the decisions. It is used only where held-out decisions say that it is better.

use super::{Rule, dot, logistic};

/// With fewer decided pictures nothing is learned.
pub const LEAST_EXAMPLES: usize = 20;
/// Parts of the examples, each of which is held out once.
pub const FOLDS: usize = 5;

/// Strength of the pull towards the earlier rule, in units of examples; the value that scikit-learn calls 1/C.
const PULL: f64 = 0.1;
/// Other pictures of the archive count together as much as so many of the decided ones.
const OTHERS: f64 = 0.5;
/// Newton's steps, and steps of conjugate gradients in each. More change nothing that can be measured.
const STEPS: usize = 12;
const INNER: usize = 25;
/// A step is halved so often at most.
const HALVINGS: usize = 30;
/// Precision that the threshold of a learned rule is set for.
const PRECISION: f64 = 0.85;
/// Fewer other pictures do not tell how rare a term is …
const ENOUGH_OTHERS: usize = 100;
/// … and neither does a rule that finds fewer of those that show it.
const ENOUGH_FOUND: f64 = 0.2;

/// How well a rule answers pictures that it was not learned from.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Pictures.
    pub pictures: usize,
    /// Pictures that show the term and are offered.
    pub right: usize,
    /// Pictures that do not show it and are offered.
    pub wrong: usize,
    /// Pictures that show it and are not offered.
    pub missed: usize,
}

impl Measured {
    /// Offers that are right, 0..=1; 1 without any.
    pub fn precision(&self) -> f64 {
        ratio(self.right, self.right + self.wrong)
    }

    /// Pictures that show the term and are offered, 0..=1; 1 if none shows it.
    pub fn recall(&self) -> f64 {
        ratio(self.right, self.right + self.missed)
    }

    /// Pictures with the right answer, 0..=1.
    pub fn accuracy(&self) -> f64 {
        ratio(self.pictures - self.wrong.min(self.pictures) - self.missed.min(self.pictures), self.pictures)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// The rule, learned from all examples.
    pub rule: Rule,
    /// Held-out pictures with the earlier rule …
    pub before: Measured,
    /// … and with rules that were learned without them.
    pub after: Measured,
    /// Whether it is better, by more than chance gives to as many pictures.
    pub better: bool,
}

/// How a rule answers examples: whether each shows the term, and its vector.
pub fn measure(rule: &Rule, examples: &[(bool, &[f32])]) -> Measured {
    let mut measured = Measured { pictures: examples.len(), ..Measured::default() };
    for (shows, vector) in examples {
        match (rule.probability(vector) >= rule.least, shows) {
            (true, true) => measured.right += 1,
            (true, false) => measured.wrong += 1,
            (false, true) => measured.missed += 1,
            (false, false) => {}
        }
    }
    measured
}

/// Learns a rule from decided pictures: whether each shows the term, and its vector. `others` are other pictures of the
/// archive, few of which show it. `None` with fewer than [`LEAST_EXAMPLES`], without both answers in every part, or if the
/// lengths differ. The same examples in the same order give the same rule.
pub fn learn(examples: &[(bool, &[f32])], others: &[&[f32]], earlier: &Rule) -> Option<Learned> {
    let dimensions = earlier.weights.len();
    let fits = |vector: &[f32]| vector.len() == dimensions;
    if examples.len() < LEAST_EXAMPLES
        || !examples.iter().all(|(_, v)| fits(v))
        || !others.iter().all(|v| fits(v))
    {
        return None;
    }
    let mut scores = Vec::with_capacity(examples.len());
    let mut beside = Vec::with_capacity(others.len());
    for fold in 0..FOLDS {
        let apart = |held: bool| {
            let numbered = others.iter().enumerate();
            numbered.filter(move |(place, _)| (place % FOLDS == fold) == held).map(|(_, vector)| *vector)
        };
        let part = |held: bool| {
            parts(examples)
                .filter(move |(place, _)| (place % FOLDS == fold) == held)
                .map(|(_, example)| example)
        };
        let kept: Vec<_> = part(false).collect();
        let rule = fit(&kept, &apart(false).collect::<Vec<_>>(), earlier)?;
        beside.extend(apart(true).map(|vector| rule.probability(vector)));
        scores.extend(part(true).map(|(shows, vector)| (rule.probability(vector), shows)));
    }
    let mut rule = fit(examples, others, earlier)?;
    rule.least = threshold(&mut scores).max(rarity(&scores, &mut beside)).clamp(0.01, 0.99);
    let before = measure(earlier, examples);
    let mut after = Measured { pictures: scores.len(), ..Measured::default() };
    for &(probability, shows) in &scores {
        match (probability >= rule.least, shows) {
            (true, true) => after.right += 1,
            (true, false) => after.wrong += 1,
            (false, true) => after.missed += 1,
            (false, false) => {}
        }
    }
    let gain = after.accuracy() - before.accuracy();
    // One standard error of the difference of two shares.
    let chance = ((before.accuracy() * (1.0 - before.accuracy())
        + after.accuracy() * (1.0 - after.accuracy()))
        / scores.len() as f64)
        .sqrt();
    Some(Learned { rule, before, after, better: gain > 0.0 && gain >= chance })
}

/// The examples, those of each answer numbered by themselves, so that every part has its share of both.
fn parts<'a>(examples: &'a [(bool, &'a [f32])]) -> impl Iterator<Item = (usize, (bool, &'a [f32]))> {
    let mut numbers = [0, 0];
    examples.iter().map(move |&example| {
        let number = &mut numbers[usize::from(example.0)];
        *number += 1;
        (*number - 1, example)
    })
}

/// The least probability from which on held-out offers are right in 85 of 100 cases; that with the best accuracy, if none is.
fn threshold(scores: &mut [(f64, bool)]) -> f64 {
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown = scores.iter().filter(|(_, shows)| *shows).count();
    let (mut right, mut best, mut precise) = (0, (0, 0.5), None);
    for (offered, &(probability, shows)) in scores.iter().enumerate() {
        right += usize::from(shows);
        let offered = offered + 1;
        // Half-way to the next one, which is not offered.
        let next = scores.get(offered).map_or(0.0, |next| next.0);
        let between = (probability + next) / 2.0;
        let correct = right + (scores.len() - shown) - (offered - right);
        if correct > best.0 {
            best = (correct, between);
        }
        if right as f64 >= PRECISION * offered as f64 {
            precise = Some(between);
        }
    }
    precise.unwrap_or(best.1)
}

/// The least probability from which on 85 of 100 offers in the archive are right, as far as held-out `others` tell; 0 if they are
/// too few. Among the decided pictures as many show the term as do not, in the archive few do: a rule that is wrong about one
/// picture in ten finds more wrong ones there than right ones.
///
/// Of the others a share π shows the term, too. From a probability t on, the rule finds the share f(t) of the pictures that show it,
/// and offers it for the share s(t) of the others; so s(t) is at least π·f(t), and its offers are right in π·f(t) of s(t). π is not
/// known, but s(t) / f(t) comes down to it where hardly anything else is offered (Elkan and Noto, "Learning classifiers from only
/// positive and unlabeled data", KDD 2008).
fn rarity(scores: &[(f64, bool)], others: &mut [f64]) -> f64 {
    if others.len() < ENOUGH_OTHERS {
        return 0.0;
    }
    others.sort_by(|a, b| b.total_cmp(a));
    let mut shown: Vec<f64> = scores.iter().filter(|(_, shows)| *shows).map(|(score, _)| *score).collect();
    shown.sort_by(|a, b| b.total_cmp(a));
    // The share found, s(t) / f(t), and t. One more than was counted: none of a few hundred is not none.
    let points = shown.iter().enumerate().map(|(place, &least)| {
        let found = (place + 1) as f64 / shown.len() as f64;
        let offered = others.partition_point(|other| *other >= least) as f64;
        (found, (offered + 1.0) / (others.len() as f64 + 1.0) / found, least)
    });
    let points: Vec<(f64, f64, f64)> = points.collect();
    let rarest = points.iter().filter(|point| point.0 >= ENOUGH_FOUND).map(|point| point.1);
    let rarest = rarest.fold(f64::INFINITY, f64::min);
    points.iter().rev().find(|point| point.1 * PRECISION <= rarest).map_or(0.0, |point| point.2)
}

/// An example with its weight.
struct Weighted<'a> {
    shows: bool,
    vector: &'a [f32],
    weight: f64,
}

/// Logistic regression by Newton's method: minimizes half the squared distance to the earlier rule, times [`PULL`], plus the
/// weighted logarithmic loss. Both answers count as much, however many examples each has.
fn fit(examples: &[(bool, &[f32])], others: &[&[f32]], earlier: &Rule) -> Option<Rule> {
    let count = |wanted: bool| examples.iter().filter(|(shows, _)| *shows == wanted).count();
    let (shown, not_shown) = (count(true), count(false));
    if shown == 0 || not_shown + others.len() == 0 {
        return None;
    }
    let total = examples.len() as f64;
    let beside = if others.is_empty() {
        0.0
    } else if not_shown == 0 {
        total / 2.0
    } else {
        total / 2.0 * OTHERS
    };
    let mut weighted: Vec<Weighted<'_>> = examples
        .iter()
        .map(|&(shows, vector)| {
            let weight =
                if shows { total / 2.0 / shown as f64 } else { (total / 2.0 - beside) / not_shown as f64 };
            Weighted { shows, vector, weight }
        })
        .collect();
    let weight = beside / others.len().max(1) as f64;
    weighted.extend(others.iter().map(|&vector| Weighted { shows: false, vector, weight }));
    let mut weights = earlier.weights.clone();
    // Nothing pulls the bias. It begins in the middle of the scores: far from it all answers agree, and no direction is downhill.
    let mean = weighted.iter().map(|one| one.weight * f64::from(dot(&weights, one.vector))).sum::<f64>();
    let mut bias = -mean / weighted.iter().map(|one| one.weight).sum::<f64>();
    let mut loss = loss_of(&weighted, earlier, &weights, bias);
    for _ in 0..STEPS {
        let mut slope: Vec<f64> =
            weights.iter().zip(&earlier.weights).map(|(w, e)| PULL * f64::from(w - e)).collect();
        let mut slope_bias = 0.0;
        let mut curvature = Vec::with_capacity(weighted.len());
        for example in &weighted {
            let probability = logistic(f64::from(dot(&weights, example.vector)) + bias);
            let error = example.weight * (probability - f64::from(u8::from(example.shows)));
            add(&mut slope, error, example.vector);
            slope_bias += error;
            curvature.push((example.weight * probability * (1.0 - probability)).max(1e-9));
        }
        let (step, step_bias) = solve(&weighted, &curvature, &slope, slope_bias);
        // A whole step may lead too far, where the answers are nearly certain: half of it, until it leads down.
        let mut part = 1.0;
        let better = std::iter::repeat_with(|| {
            let moved: Vec<f32> =
                weights.iter().zip(&step).map(|(weight, step)| weight - (part * step) as f32).collect();
            let moved_bias = bias - part * step_bias;
            part /= 2.0;
            (loss_of(&weighted, earlier, &moved, moved_bias), moved, moved_bias)
        });
        let Some((less, moved, moved_bias)) = better.take(HALVINGS).find(|(less, ..)| *less < loss) else {
            break;
        };
        let gain = loss - less;
        (loss, weights, bias) = (less, moved, moved_bias);
        if gain < 1e-9 * total {
            break;
        }
    }
    (bias.is_finite() && weights.iter().all(|weight| weight.is_finite())).then_some(Rule {
        weights,
        bias,
        least: 0.5,
    })
}

/// What [`fit`] makes small.
fn loss_of(examples: &[Weighted<'_>], earlier: &Rule, weights: &[f32], bias: f64) -> f64 {
    let apart = weights.iter().zip(&earlier.weights).map(|(w, e)| f64::from(w - e).powi(2)).sum::<f64>();
    let losses = examples.iter().map(|example| {
        let score = f64::from(dot(weights, example.vector)) + bias;
        let agreeing = if example.shows { score } else { -score };
        // ln(1 + exp(-x)), for large and for small numbers.
        example.weight * ((-agreeing.abs()).exp().ln_1p() + (-agreeing).max(0.0))
    });
    PULL / 2.0 * apart + losses.sum::<f64>()
}

fn add(sum: &mut [f64], factor: f64, vector: &[f32]) {
    sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += factor * f64::from(*value));
}

/// Solves (Hessian) · step = slope by conjugate gradients, without writing the Hessian down.
fn solve(examples: &[Weighted<'_>], curvature: &[f64], slope: &[f64], slope_bias: f64) -> (Vec<f64>, f64) {
    let times = |direction: &[f64], bias: f64| {
        let narrow: Vec<f32> = direction.iter().map(|value| *value as f32).collect();
        let mut product: Vec<f64> = direction.iter().map(|value| PULL * value).collect();
        // A little, so that the bias is bounded where all answers agree.
        let mut product_bias = 1e-3 * bias;
        for (example, curvature) in examples.iter().zip(curvature) {
            let along = curvature * (f64::from(dot(&narrow, example.vector)) + bias);
            add(&mut product, along, example.vector);
            product_bias += along;
        }
        (product, product_bias)
    };
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut step, mut step_bias) = (vec![0.0; slope.len()], 0.0);
    let (mut rest, mut rest_bias) = (slope.to_vec(), slope_bias);
    let (mut direction, mut direction_bias) = (rest.clone(), rest_bias);
    let mut size = inner(&rest, &rest) + rest_bias * rest_bias;
    let enough = size * 1e-8;
    for _ in 0..INNER {
        if size <= enough || size == 0.0 {
            break;
        }
        let (product, product_bias) = times(&direction, direction_bias);
        let length = size / (inner(&direction, &product) + direction_bias * product_bias).max(1e-12);
        step.iter_mut().zip(&direction).for_each(|(step, d)| *step += length * d);
        step_bias += length * direction_bias;
        rest.iter_mut().zip(&product).for_each(|(rest, p)| *rest -= length * p);
        rest_bias -= length * product_bias;
        let next = inner(&rest, &rest) + rest_bias * rest_bias;
        let turn = next / size;
        direction.iter_mut().zip(&rest).for_each(|(d, rest)| *d = rest + turn * *d);
        direction_bias = rest_bias + turn * direction_bias;
        size = next;
    }
    (step, step_bias)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of 16 values; those that show the term are further along the first one.
    fn examples(n: usize, seed: u64, apart: f32) -> Vec<(bool, Vec<f32>)> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..n)
            .map(|n| {
                let shows = n % 2 == 0;
                let mut vector: Vec<f32> = (0..16).map(|_| random.f32() - 0.5).collect();
                vector[0] += if shows { apart } else { -apart };
                (shows, vector)
            })
            .collect()
    }

    fn lent(examples: &[(bool, Vec<f32>)]) -> Vec<(bool, &[f32])> {
        examples.iter().map(|(shows, vector)| (*shows, vector.as_slice())).collect()
    }

    /// A rule that offers everything.
    fn naive() -> Rule {
        Rule { weights: vec![0.0; 16], bias: 1.0, least: 0.5 }
    }

    #[test]
    fn decisions_teach_what_the_words_do_not_say() {
        let seen = examples(60, 1, 0.4);
        let learned = learn(&lent(&seen), &[], &naive()).expect("is enough");
        assert!(learned.better, "{learned:?}");
        let new = examples(400, 2, 0.4);
        let (before, after) = (measure(&naive(), &lent(&new)), measure(&learned.rule, &lent(&new)));
        assert_eq!(before.precision(), 0.5);
        assert!(after.precision() > 0.85 && after.recall() > 0.7, "{after:?}");
        // What was held out tells how it will do.
        assert!((learned.after.accuracy() - after.accuracy()).abs() < 0.12, "{learned:?} {after:?}");
        assert_eq!(learn(&lent(&seen), &[], &naive()), Some(learned));
    }

    /// Scores of words may lie far from the middle, on either side, and be spread widely or hardly at all.
    #[test]
    fn it_does_not_matter_where_the_earlier_rule_stands() {
        let (seen, new) = (examples(60, 1, 0.4), examples(400, 2, 0.4));
        let others: Vec<Vec<f32>> =
            examples(1000, 7, 0.4).into_iter().filter(|o| !o.0).map(|o| o.1).collect();
        let others: Vec<&[f32]> = others.iter().map(Vec::as_slice).collect();
        for bias in [-1000.0, -40.0, -6.0, 0.0, 30.0, 1000.0] {
            for scale in [0.0, 1.0, 30.0] {
                let weights = (0..16).map(|n| if n == 1 { scale } else { 0.0 }).collect();
                let earlier = Rule { weights, bias, least: 0.5 };
                for others in [&others[..], &[]] {
                    let learned = learn(&lent(&seen), others, &earlier).expect("is enough");
                    let after = measure(&learned.rule, &lent(&new));
                    // Where others tell how rare the term is, fewer are offered.
                    let least = if scale > 1.0 {
                        0.6
                    } else if others.is_empty() {
                        0.8
                    } else {
                        0.7
                    };
                    assert!(after.accuracy() > least, "bias {bias}, scale {scale}: {after:?}");
                    assert!(
                        others.is_empty() || after.precision() > 0.85,
                        "bias {bias}, scale {scale}: {after:?}"
                    );
                    assert!(learned.better, "bias {bias}, scale {scale}: {learned:?}");
                }
            }
        }
    }

    /// One picture in twenty shows the term, and those that do not are no easier than those that were decided.
    #[test]
    fn a_rare_term_is_offered_with_care() {
        let archive = |n: usize, seed: u64| -> Vec<(bool, Vec<f32>)> {
            let mut pictures = examples(2 * n, seed, 0.35);
            let mut shown = 0;
            pictures.retain(|picture| {
                shown += usize::from(picture.0);
                !picture.0 || shown % 19 == 0
            });
            pictures
        };
        let (seen, rest, new) = (examples(100, 1, 0.35), archive(540, 3), archive(4000, 2));
        let others: Vec<&[f32]> = rest.iter().map(|other| other.1.as_slice()).collect();
        let offered = |others: &[&[f32]]| {
            let learned = learn(&lent(&seen), others, &naive()).expect("is enough");
            measure(&learned.rule, &lent(&new))
        };
        let (careless, careful) = (offered(&others[..50]), offered(&others));
        assert!(careless.precision() < 0.6, "{careless:?}");
        assert!(careful.precision() > 0.75 && careful.recall() > 0.3, "{careful:?}");
    }

    #[test]
    fn what_cannot_be_learned_is_not_better() {
        let mut rises = 0;
        for seed in 0..40 {
            let noise = examples(40, seed, 0.0);
            rises += u32::from(learn(&lent(&noise), &[], &naive()).expect("is enough").better);
        }
        // The accuracy of chance is .5 in both; a standard error leaves few.
        assert!(rises <= 12, "{rises} of 40");
        let good = Rule { weights: std::iter::once(20.0).chain([0.0; 15]).collect(), bias: 0.0, least: 0.5 };
        let learned = learn(&lent(&examples(40, 3, 0.6)), &[], &good).expect("is enough");
        assert!(!learned.better, "{learned:?}");
    }

    #[test]
    fn little_teaches_nothing() {
        assert!(learn(&lent(&examples(19, 1, 0.4)), &[], &naive()).is_none());
        let mut same = examples(40, 1, 0.4);
        same.iter_mut().for_each(|example| example.0 = true);
        assert!(learn(&lent(&same), &[], &naive()).is_none());
        same[3].1.pop();
        assert!(learn(&lent(&same), &[], &naive()).is_none());
        let unlike = Rule { weights: vec![0.0; 15], ..naive() };
        assert!(learn(&lent(&examples(40, 1, 0.4)), &[], &unlike).is_none());
    }

    #[test]
    fn other_pictures_count_as_not_showing_it() {
        let mut seen = examples(40, 1, 0.4);
        seen.retain(|(shows, _)| *shows);
        let others = examples(200, 5, 0.4);
        let others: Vec<&[f32]> =
            others.iter().filter(|other| !other.0).map(|other| other.1.as_slice()).collect();
        let learned = learn(&lent(&seen), &others, &naive()).expect("is enough");
        let after = measure(&learned.rule, &lent(&examples(200, 6, 0.4)));
        assert!(after.accuracy() > 0.75, "{after:?}");
    }
}
