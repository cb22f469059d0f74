//! What is said of wrong options, in words of a person.

use figment::error::{Actual, Kind};
use figment::value::{Num, Value};

use super::{ConfigError, DEFAULTS};

/// What is wrong with a value, and where it comes from.
pub(super) fn value_error(error: figment::Error) -> ConfigError {
    let origin = error.metadata.as_ref().map_or_else(String::new, |metadata| metadata.name.to_string());
    let key = error.path.join(".");
    let secret = key.ends_with(".secret") || key.ends_with(".url");
    let (found, expected) = match error.kind {
        Kind::InvalidType(found, expected) => (actual(&found), wanted(&expected)),
        Kind::InvalidValue(found, expected) => (actual(&found), wanted(&expected)),
        Kind::UnknownVariant(found, known) => (format!("\"{found}\""), one_of(known)),
        Kind::UnknownField(field, known) => {
            let known = known.iter().map(|name| (*name).to_owned()).collect();
            let key = if key.is_empty() { field } else { format!("{key}.{field}") };
            return ConfigError::UnknownOption { origin, key, known };
        }
        Kind::MissingField(name) => {
            let key = if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
            let (found, expected) = ("missing".to_owned(), "there".to_owned());
            return ConfigError::Value { origin, key, found, expected };
        }
        // What parses from a text says why it did not, and no more.
        Kind::Message(words) => ("not usable".to_owned(), wanted(&words)),
        other => ("not usable".to_owned(), other.to_string()),
    };
    let found = if secret { "not usable".to_owned() } else { found };
    ConfigError::Value { origin, key, found, expected }
}

fn one_of(known: &[&str]) -> String {
    known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
}

fn actual(found: &Actual) -> String {
    match found {
        Actual::Str(text) => format!("\"{}\"", text.escape_debug()),
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        other => other.to_string(),
    }
}

/// An address without everything that may be secret.
pub(super) fn scheme(value: &Value) -> String {
    match value.as_str().map(|text| text.split_once(':')) {
        Some(Some((scheme, _))) => format!("\"{}:…\"", scheme.escape_debug()),
        Some(None) => "no address".to_owned(),
        None => shown(value),
    }
}

/// A value as it is written.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("\"{}\"", text.escape_debug()),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, Num::F32(number)) => number.to_string(),
        Value::Num(_, Num::F64(number)) => number.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128()) {
            (Some(number), _) => number.to_string(),
            (_, Some(number)) => number.to_string(),
            _ => "a number".to_owned(),
        },
        Value::Array(_, items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        _ => "a section".to_owned(),
    }
}

/// serde's words for a type, in those of a person.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" | "path string" => "a text in quotes",
        "a sequence" => "a list, as in [\"a\", \"b\"]",
        "socket address" | "invalid socket address syntax" => {
            "an address with a port, as in \"127.0.0.1:8420\""
        }
        other if other.starts_with("struct ") => "a section of options",
        other => other,
    }
    .to_owned()
}

/// The line of the defaults that sets an option.
pub(super) fn example(key: &str) -> Option<&'static str> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let header = format!("[{section}]");
    let mut lines = DEFAULTS.lines();
    if !section.is_empty() {
        lines.find(|line| **line == *header)?;
    }
    lines
        .take_while(|line| !line.starts_with('['))
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('=')))
}
