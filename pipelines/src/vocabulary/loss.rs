//! What a format could not say.

use std::collections::HashMap;

/// A vocabulary as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// What is not in it. Empty for a format that says everything.
    pub lost: Vec<Loss>,
}

/// One kind of thing that a written file does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What is lost, such as `the scope notes`.
    pub what: String,
    /// How often.
    pub times: u64,
    /// The name of a term that loses it, the first in the order of names.
    pub example: String,
}

/// Losses while they are counted.
#[derive(Debug, Default)]
pub(super) struct Losses {
    list: Vec<Loss>,
    at: HashMap<&'static str, usize>,
}

impl Losses {
    pub(super) fn add(&mut self, what: &'static str, example: &str) {
        let at = *self.at.entry(what).or_insert(self.list.len());
        if at == self.list.len() {
            self.list.push(Loss { what: what.to_owned(), times: 0, example: example.to_owned() });
        }
        let loss = &mut self.list[at];
        loss.times += 1;
        if *example < *loss.example {
            example.clone_into(&mut loss.example);
        }
    }

    pub(super) fn into_list(mut self) -> Vec<Loss> {
        self.list.sort_by(|a, b| a.what.cmp(&b.what));
        self.list
    }
}
