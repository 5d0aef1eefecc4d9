//! The published schema, and as much of JSON Schema as it uses.

use serde_json::Value;

pub(super) fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/report.schema.json")).unwrap()
}

/// The keywords of JSON Schema 2020-12 that our schema uses, but for `pattern`; an unknown keyword is a complaint, so that
/// none is passed over in silence.
pub(super) fn validate(
    root: &Value,
    schema: &Value,
    value: &Value,
    place: &str,
    complaints: &mut Vec<String>,
) {
    for (keyword, argument) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$id" | "title" | "$comment" | "description" | "$defs" | "pattern" => {}
            "$ref" => {
                let name = argument.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                validate(root, &root["$defs"][name], value, place, complaints);
            }
            "type" => {
                let fits = match argument.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    other => panic!("type {other}"),
                };
                if !fits {
                    complaints.push(format!("{place}: {value} is no {argument}"));
                    return;
                }
            }
            "const" if value != argument => complaints.push(format!("{place}: not {argument}")),
            "enum" if !argument.as_array().unwrap().contains(value) => {
                complaints.push(format!("{place}: {value} is none of {argument}"));
            }
            "minimum" if value.as_f64() < argument.as_f64() => complaints.push(format!("{place}: too small")),
            "maximum" if value.as_f64() > argument.as_f64() => complaints.push(format!("{place}: too large")),
            "minItems" if value.as_array().map(Vec::len) < length(argument) => {
                complaints.push(format!("{place}: too few"));
            }
            "maxItems" if value.as_array().map(Vec::len) > length(argument) => {
                complaints.push(format!("{place}: too many"));
            }
            "const" | "enum" | "minimum" | "maximum" | "minItems" | "maxItems" => {}
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, argument, item, &format!("{place}[{index}]"), complaints);
                }
            }
            "required" => {
                for name in argument.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        complaints.push(format!("{place}: {name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, item) in value.as_object().into_iter().flatten() {
                    if let Some(property) = argument.get(name) {
                        validate(root, property, item, &format!("{place}.{name}"), complaints);
                    }
                }
            }
            "additionalProperties" if argument.is_object() => {
                for (name, item) in value.as_object().into_iter().flatten() {
                    validate(root, argument, item, &format!("{place}.{name}"), complaints);
                }
            }
            "additionalProperties" => {
                assert_eq!(argument, &Value::Bool(false), "{place}");
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    if schema["properties"].get(name).is_none() {
                        complaints.push(format!("{place}: {name} is unknown"));
                    }
                }
            }
            other => complaints.push(format!("{place}: the schema's keyword {other} is not known here")),
        }
    }
}

fn length(argument: &Value) -> Option<usize> {
    argument.as_u64().and_then(|length| usize::try_from(length).ok())
}
