//! Everything a ledger says, for comparing two of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::program::Docent;

/// What has to be the same in the end.
#[derive(Debug, PartialEq)]
pub struct Rows {
    /// By id.
    pub suggestions: BTreeMap<String, Value>,
    /// By place.
    pub failures: BTreeMap<String, Value>,
    /// What `docent status` says.
    pub counts: Value,
}

impl Rows {
    /// What `docent` lists.
    pub fn of(docent: &Docent) -> Self {
        let status = docent.status();
        Self {
            suggestions: keyed(docent.suggestions(), "id"),
            failures: keyed(docent.failures(), "uri"),
            counts: json!({
                "assets": status["assets"], "paths": status["paths"], "analyzers": status["analyzers"],
                "suggestions": status["suggestions"], "vectors": status["vectors"],
            }),
        }
    }
}

/// Rows by a key that must be unique, without times.
fn keyed(rows: Vec<Value>, key: &str) -> BTreeMap<String, Value> {
    let mut keyed = BTreeMap::new();
    for mut row in rows {
        let fields = row.as_object_mut().expect("an object");
        fields.retain(|name, _| name != "at" && name != "created_at");
        let name = row[key].as_str().expect("a text").to_owned();
        assert!(keyed.insert(name.clone(), row).is_none(), "{name} is there twice");
    }
    keyed
}

/// The first ten differences, in words.
pub fn differences(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> String {
    let mut lines = Vec::new();
    for (key, row) in one {
        match other.get(key) {
            None => lines.push(format!("lost: {row}")),
            Some(same) if same == row => {}
            Some(changed) => lines.push(format!("changed: {row}\n     to: {changed}")),
        }
    }
    lines.extend(
        other.iter().filter(|(key, _)| !one.contains_key(*key)).map(|(_, row)| format!("new: {row}")),
    );
    let more = lines.len().saturating_sub(10);
    lines.truncate(10);
    format!("{}\nand {more} more", lines.join("\n"))
}
