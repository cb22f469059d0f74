//! Which sentences are followed, step by step. Knows nothing of networks.

use super::Strategy;

/// What ends, starts and bounds a sentence, and how sentences of different length are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct SearchRules {
    pub bos: u32,
    pub eos: u32,
    /// Most tokens, beginning and end included.
    pub max_length: usize,
    /// A sentence scores its log-probability / length ^ this; the end counts, the beginning does not.
    pub length_penalty: f32,
}

impl SearchRules {
    fn score(&self, hypothesis: &Hypothesis) -> f32 {
        hypothesis.log_probability / (words(hypothesis).max(1) as f32).powf(self.length_penalty)
    }
}

/// A sentence that is being followed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hypothesis {
    pub tokens: Vec<u32>,
    pub log_probability: f32,
}

/// The sentences of one picture.
#[derive(Debug)]
pub(super) struct Search {
    rules: SearchRules,
    width: usize,
    pub live: Vec<Hypothesis>,
    finished: Vec<Hypothesis>,
}

impl Search {
    pub fn new(rules: SearchRules, strategy: Strategy) -> Self {
        let width = match strategy {
            Strategy::Greedy => 1,
            Strategy::Beam { width } => width.max(1),
        };
        let start = Hypothesis { tokens: vec![rules.bos], log_probability: 0.0 };
        Self { rules, width, live: vec![start], finished: Vec::new() }
    }

    /// Takes one row of next-token log-probabilities per live sentence. Answers, for each sentence that is live now,
    /// which of the former ones it continues; empty once the search is over.
    pub fn advance(&mut self, log_probabilities: &[Vec<f32>]) -> Vec<usize> {
        let mut candidates: Vec<(f32, usize, u32)> = Vec::new();
        for (row, (hypothesis, next)) in self.live.iter().zip(log_probabilities).enumerate() {
            // Each sentence can fill the whole beam, and its end takes one place more.
            for (token, log_probability) in top(next, self.width + 1) {
                candidates.push((hypothesis.log_probability + log_probability, row, token));
            }
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut live = Vec::new();
        let mut parents = Vec::new();
        for (log_probability, row, token) in candidates {
            if live.len() == self.width {
                break;
            }
            let mut tokens = self.live[row].tokens.clone();
            tokens.push(token);
            let hypothesis = Hypothesis { tokens, log_probability };
            if token == self.rules.eos {
                self.finished.push(hypothesis);
            } else {
                live.push(hypothesis);
                parents.push(row);
            }
        }
        let full = live.first().is_some_and(|hypothesis| hypothesis.tokens.len() >= self.rules.max_length);
        if full || live.is_empty() {
            self.finished.append(&mut live);
        }
        let best = |hypotheses: &[Hypothesis]| {
            hypotheses.iter().map(|h| self.rules.score(h)).fold(f32::NEG_INFINITY, f32::max)
        };
        // The end of a search that looks no further: a sentence that has ended ahead of all others is taken to stay
        // ahead, though one of sure words could still gain on it.
        if full || live.is_empty() || best(&self.finished) >= best(&live) {
            self.live.clear();
            return Vec::new();
        }
        self.live = live;
        parents
    }

    /// The best sentence.
    pub fn best(self) -> Hypothesis {
        let Self { rules, finished, .. } = self;
        let score = |hypothesis: &Hypothesis| rules.score(hypothesis);
        let start = Hypothesis { tokens: vec![rules.bos], log_probability: f32::NEG_INFINITY };
        finished.into_iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap_or(start)
    }
}

/// Tokens chosen, the end included.
pub(super) fn words(hypothesis: &Hypothesis) -> usize {
    hypothesis.tokens.len().saturating_sub(1)
}

/// The `n` largest values and their places, largest first.
fn top(values: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(n + 1);
    for (i, &value) in values.iter().enumerate() {
        if best.len() < n || best.last().is_some_and(|last| value > last.1) {
            let at = best.partition_point(|entry| entry.1 >= value);
            best.insert(at, (i as u32, value));
            best.truncate(n);
        }
    }
    best
}

pub(super) fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = logits.iter().map(|logit| (logit - most).exp()).sum::<f32>().ln();
    logits.iter().map(|logit| logit - most - log_sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SearchRules = SearchRules { bos: 0, eos: 1, max_length: 6, length_penalty: 1.0 };

    fn next(pairs: &[(usize, f32)]) -> Vec<f32> {
        let mut row = vec![f32::NEG_INFINITY; 5];
        for &(token, p) in pairs {
            row[token] = p.ln();
        }
        row
    }

    #[test]
    fn a_beam_finds_what_greed_misses() {
        // Greedy takes 2 (0.6) and gets stuck at 0.3; over 3 (0.4) the sentence ends with certainty.
        let run = |strategy| {
            let mut search = Search::new(RULES, strategy);
            search.advance(&[next(&[(2, 0.6), (3, 0.4)])]);
            while !search.live.is_empty() {
                let rows: Vec<Vec<f32>> = search
                    .live
                    .iter()
                    .map(|h| match h.tokens.last() {
                        Some(2) => next(&[(1, 0.3), (4, 0.2)]),
                        _ => next(&[(1, 1.0)]),
                    })
                    .collect();
                search.advance(&rows);
            }
            search.best().tokens
        };
        assert_eq!(run(Strategy::Greedy), [0, 2, 1]);
        assert_eq!(run(Strategy::Beam { width: 2 }), [0, 3, 1]);
    }

    #[test]
    fn a_sentence_that_never_ends_is_cut() {
        let mut search = Search::new(RULES, Strategy::Greedy);
        let mut steps = 0;
        while !search.live.is_empty() {
            search.advance(&[next(&[(2, 0.9)])]);
            steps += 1;
        }
        assert_eq!(steps, 5);
        assert_eq!(search.best().tokens, [0, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn the_largest_come_first() {
        assert_eq!(top(&[0.1, 0.5, 0.3, 0.5], 3), [(1, 0.5), (3, 0.5), (2, 0.3)]);
    }
}
