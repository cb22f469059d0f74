//! Which points pass a filter.

use std::collections::HashMap;

use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::{Condition, Filter, Value};
use tonic::Status;

use super::collection::uuid;

/// Whether the point passes. A condition that is not understood is an error, not a guess.
pub fn passes(filter: &Filter, id: &str, payload: &HashMap<String, Value>) -> Result<bool, Status> {
    if filter.min_should.is_some() {
        return Err(Status::unimplemented("min_should"));
    }
    for condition in &filter.must {
        if !holds(condition, id, payload)? {
            return Ok(false);
        }
    }
    for condition in &filter.must_not {
        if holds(condition, id, payload)? {
            return Ok(false);
        }
    }
    for condition in &filter.should {
        if holds(condition, id, payload)? {
            return Ok(true);
        }
    }
    Ok(filter.should.is_empty())
}

/// How many values the conditions of a filter name.
pub fn named(filter: &Filter) -> usize {
    let conditions = filter.must.iter().chain(&filter.must_not).chain(&filter.should);
    conditions
        .map(|condition| match &condition.condition_one_of {
            Some(ConditionOneOf::Field(field)) => {
                match field.r#match.as_ref().and_then(|m| m.match_value.as_ref()) {
                    Some(MatchValue::Keywords(any)) => any.strings.len(),
                    _ => 1,
                }
            }
            Some(ConditionOneOf::HasId(any)) => any.has_id.len(),
            Some(ConditionOneOf::Filter(inner)) => named(inner),
            _ => 1,
        })
        .sum()
}

fn holds(condition: &Condition, id: &str, payload: &HashMap<String, Value>) -> Result<bool, Status> {
    match &condition.condition_one_of {
        Some(ConditionOneOf::Field(field)) => {
            let matched = field.r#match.as_ref().and_then(|m| m.match_value.as_ref());
            let Some(matched) = matched else { return Err(Status::unimplemented("a field condition")) };
            let Some(value) = payload.get(&field.key) else { return Ok(false) };
            match matched {
                MatchValue::Keyword(keyword) => Ok(is_any(value, &|text| text == keyword)),
                MatchValue::Keywords(any) => Ok(is_any(value, &|text| any.strings.iter().any(|s| s == text))),
                _ => Err(Status::unimplemented("a match")),
            }
        }
        Some(ConditionOneOf::HasId(any)) => {
            let mut ids = any.has_id.iter().map(uuid);
            ids.try_fold(false, |found, wanted| Ok(found || wanted? == id))
        }
        Some(ConditionOneOf::Filter(inner)) => passes(inner, id, payload),
        _ => Err(Status::unimplemented("a condition")),
    }
}

/// A list matches where one of its values does.
fn is_any(value: &Value, matches: &dyn Fn(&str) -> bool) -> bool {
    match &value.kind {
        Some(Kind::StringValue(text)) => matches(text),
        Some(Kind::ListValue(list)) => list.values.iter().any(|value| is_any(value, matches)),
        _ => false,
    }
}
