//! The reference of the language, from the declarations that read the files and that `ffn schema` prints.

use std::fmt::Write;

use super::arguments::argument;
use super::context::Context;
use crate::base::{Error, Kind, Result};
use crate::report::table;
use crate::spec;
use crate::spec::setting::{Body, Content, Field, Type, Variant};

/// Every type of an experiment, or what a suite has beside: the file's own type first, then the others by name.
pub fn reference(_: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let (file, mut types) = match argument(args, 0) {
        "experiment" => ("Experiment", spec::language()),
        "suite" => ("Suite", spec::suite_language()),
        other => {
            let message = format!("expected `experiment` or `suite`, found `{other}`");
            return Err(Error::new(Kind::Usage, message));
        }
    };
    let first = types.remove(file);
    Ok(first.iter().chain(types.values()).map(section).collect())
}

fn section(described: &Type) -> String {
    let mut text = format!("## {}\n\n", described.name);
    if !described.doc.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}\n\n", in_a_cell(&described.doc));
    }
    text += &match &described.body {
        Body::Fields(fields) => field_table(fields),
        Body::Variants(variants) => variant_tables(variants),
        // The experiment's reference has it.
        Body::As(_) => String::new(),
    };
    text + "\n"
}

/// Field, type, default, what it means, and where it acts if a field says so.
fn field_table(fields: &[Field]) -> String {
    let stage = |field: &Field| field.effect.and_then(|effect| effect.stage);
    let with_stages = fields.iter().any(|field| stage(field).is_some());
    let row = |field: &Field| {
        let default = match (&field.default, field.required) {
            (_, true) => "required".to_owned(),
            (Some(default), _) => in_a_cell(default),
            (None, _) => "those of its type".to_owned(),
        };
        let name = format!("`{}`", field.name);
        let mut row = vec![name, type_of(field), default, in_a_cell(&field.doc)];
        if with_stages {
            row.push(stage(field).map_or("", |stage| stage.name()).to_owned());
        }
        row
    };
    // What must be there comes first.
    let (first, then): (Vec<_>, Vec<_>) = fields.iter().partition(|field| field.required);
    let rows: Vec<Vec<String>> = first.into_iter().chain(then).map(row).collect();
    let header = ["field", "type", "default", "meaning", "acts first on"];
    let shown = if with_stages { 5 } else { 4 };
    table::words(&header.map(str::to_owned)[..shown], &rows)
}

/// What may be written, what it means; then the fields of each variant that has some.
fn variant_tables(variants: &[Variant]) -> String {
    let row = |variant: &Variant| vec![written(variant), in_a_cell(&variant.doc)];
    let rows: Vec<Vec<String>> = variants.iter().map(row).collect();
    let header = ["value", "meaning"].map(str::to_owned);
    let mut text = table::words(&header, &rows);
    for variant in variants {
        if let Content::Fields(fields) = &variant.content {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n`{}`:\n\n{}", variant.name, field_table(fields));
        }
    }
    text
}

/// How a variant is written in RON.
fn written(variant: &Variant) -> String {
    let name = variant.name;
    match &variant.content {
        Content::Nothing => format!("`{name}`"),
        Content::Fields(_) => format!("`{name}(…)`"),
        Content::Value(value) => match type_of(value) {
            of if of.starts_with(&format!("[`{name}`]")) => of,
            of => format!("`{name}`({of})"),
        },
    }
}

/// A field's type, with what is legal; what has a section is a link to it.
fn type_of(field: &Field) -> String {
    let link = |name: &str| format!("[`{name}`](#{})", name.to_lowercase());
    let legal = field.legal.as_ref();
    let legal = legal.map_or(String::new(), |legal| format!(", {legal}"));
    field.shape().words(&link) + &in_a_cell(&legal)
}

/// A doc comment of ours: its code stays code, only what would end the cell is escaped.
fn in_a_cell(doc: &str) -> String {
    let in_one_line = doc.replace('\n', " ");
    in_one_line.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_told_with_its_range_its_default_and_its_stage() {
        let types = spec::language();
        let tsm = section(&types["Tsm"]);
        for line in [
            "## Tsm\n",
            "| field | type | default | meaning | acts first on |\n",
            "| `init` | [`Init`](#init) | required | Initial weights. |  |\n",
            "| `dropout` | number, in [0, 1) | `0.5` | Probability that a feature is dropped before the classifier. | activations |\n",
        ] {
            assert!(tsm.contains(line), "{tsm}");
        }
        let crop = section(&types["TrainCrop"]);
        for line in [
            "| `Centre(…)` | The centre, as in evaluation. |\n",
            "\n`Centre`:\n\n| field | type | default | meaning |\n",
            "| whole number, from 16 to 4096 | 256 for a size of 224, in proportion |",
        ] {
            assert!(crop.contains(line), "{crop}");
        }
    }
}
