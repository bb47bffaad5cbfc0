//! The JSON Schema of the language, for editors and for reading.

use super::raw;

/// JSON Schema of the raw types. RON is read as serde would: `Name(a: 1)` of an enumeration is `{"Name": {"a": 1}}`,
/// `Name` alone is `"Name"`, a struct is an object, `None` is null.
pub fn schema() -> String {
    text(&schemars::schema_for!(raw::Experiment))
}

/// As [`schema`], of a suite.
pub fn suite_schema() -> String {
    text(&schemars::schema_for!(super::suite::raw::Suite))
}

fn text(schema: &schemars::Schema) -> String {
    serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n"
}
