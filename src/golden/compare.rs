//! Comparison group by group, and the table that a person reads.

use std::collections::BTreeMap;
use std::fmt;

use super::raw::ReferenceError;
use super::taps;
use super::tensors::Tensors;

/// A group may stray this many times as far as the reference's own float32 does. Two float32 computations that sum in
/// different orders differ from the exact result by independent errors of like size; their ratio rarely leaves 1/8 … 8.
pub const FACTOR: f64 = 8.0;
/// No group needs to come closer than this relative error, about 32 roundings of float32: where the reference's own
/// error happens to be nearly zero, a multiple of it says nothing.
pub const FLOOR: f64 = 2e-6;
/// The same in bf16: one rounding. A group is summed up over many values, whose errors are smaller together; of a single
/// value the reference's error can be small by chance.
pub const BF16_FLOOR: f64 = 1.0 / 512.0;
/// No group may stray further, whatever the reference does: zeros would stray by 1. In bf16 the first values of gradients,
/// which a network's norms amplify most, come near it.
pub const CEILING: f64 = 0.75;

/// How one group of values compares.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub name: String,
    pub values: usize,
    /// ‖computed − expected‖ / ‖expected‖.
    pub error: f64,
    /// The same for the reference in the engine's precision; `None` where only equality passes.
    pub reference: Option<f64>,
    /// No tolerance is smaller.
    pub floor: f64,
    /// Where the difference is largest.
    pub worst: Option<Worst>,
}

/// One value on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Worst {
    pub name: String,
    pub index: usize,
    pub expected: f64,
    pub computed: f64,
}

impl Group {
    pub fn tolerance(&self) -> f64 {
        self.reference
            .map_or(0.0, |error| (FACTOR * error).clamp(self.floor, CEILING))
    }

    /// A value that is not a number never passes.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance()
    }
}

/// How one bundle compares.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub name: String,
    pub groups: Vec<Group>,
    /// Names that are on one side only, or have another shape there.
    pub mismatches: Vec<String>,
}

/// What a comparison is made by.
#[derive(Clone, Copy)]
pub enum Rule<'a> {
    /// Every value must be equal, every shape the same.
    Exact,
    /// Within a multiple of the reference's own error. In a shape, 1s at the end do not count.
    Reference {
        /// For each group.
        errors: &'a BTreeMap<String, ReferenceError>,
        /// No group's tolerance is smaller.
        floor: f64,
        /// Nodes that are tapped, in the order in which they are shown.
        taps: &'a [String],
    },
}

impl Rule<'_> {
    fn same_shape(self, a: &[usize], b: &[usize]) -> bool {
        match self {
            Rule::Exact => a == b,
            Rule::Reference { .. } => trimmed(a) == trimmed(b),
        }
    }

    /// The norm of all gradients is a single value, which the reference comes near by chance as well: it counts as no nearer than the
    /// norms that it is made of.
    fn error(self, group: &str) -> Option<f64> {
        let Rule::Reference { errors, .. } = self else {
            return None;
        };
        let of = |group: &str| errors.get(group).map_or(0.0, |e| e.rel_l2);
        let Some(norms) = group
            .strip_suffix(".total")
            .filter(|g| g.ends_with("grad_norm"))
        else {
            return Some(of(group));
        };
        let parts = of(norms).max(of(&format!("{norms}.all")));
        Some(of(group).max(parts))
    }

    fn floor(self) -> f64 {
        match self {
            Rule::Exact => 0.0,
            Rule::Reference { floor, .. } => floor,
        }
    }
}

fn trimmed(shape: &[usize]) -> &[usize] {
    let ones = shape.iter().rev().take_while(|&&n| n == 1).count();
    &shape[..shape.len() - ones]
}

impl Comparison {
    pub fn new(name: &str, expected: &Tensors, computed: &Tensors, rule: Rule<'_>) -> Self {
        let mut mismatches = Vec::new();
        let mut sums: BTreeMap<Place<'_>, Sum<'_>> = BTreeMap::new();
        for (name, expected) in expected {
            let Some(computed) = computed.get(name) else {
                let name = name.escape_default();
                mismatches.push(format!("missing: {name} is expected and was not computed"));
                continue;
            };
            if !rule.same_shape(&computed.shape, &expected.shape) {
                mismatches.push(format!(
                    "shape: {name} is expected to be {:?} and is {:?}",
                    expected.shape, computed.shape
                ));
                continue;
            }
            let group = group_of(name);
            let sum = sums
                .entry(place(group, rule))
                .or_insert_with(|| Sum::new(group));
            sum.add(name, &expected.values, &computed.values);
        }
        for name in computed.keys().filter(|name| !expected.contains_key(*name)) {
            mismatches.push(format!(
                "left over: {name} was computed and is not expected"
            ));
        }
        let groups = sums.into_values().map(|sum| sum.finish(rule));
        Self {
            name: name.to_owned(),
            groups: groups.collect(),
            mismatches,
        }
    }

    pub fn passes(&self) -> bool {
        self.mismatches.is_empty() && self.groups.iter().all(Group::passes)
    }

    /// How many groups and names fail.
    pub fn failures(&self) -> usize {
        let groups = self.groups.iter().filter(|group| !group.passes()).count();
        groups + self.mismatches.len()
    }
}

/// The name up to its first `/`.
pub fn group_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// Sums over one group.
struct Sum<'a> {
    group: &'a str,
    values: usize,
    difference: f64,
    size: f64,
    worst: Option<(f64, Worst)>,
}

impl<'a> Sum<'a> {
    fn new(group: &'a str) -> Self {
        Self {
            group,
            values: 0,
            difference: 0.0,
            size: 0.0,
            worst: None,
        }
    }

    fn add(&mut self, name: &str, expected: &[f64], computed: &[f64]) {
        self.values += expected.len();
        for (index, (&expected, &computed)) in expected.iter().zip(computed).enumerate() {
            let difference = (computed - expected).abs();
            self.difference += difference.powi(2);
            self.size += expected.powi(2);
            let largest = self.worst.as_ref().map_or(0.0, |(largest, _)| *largest);
            // What is not a number is worse than any number.
            if (difference > largest || difference.is_nan()) && !largest.is_nan() {
                let worst = Worst {
                    name: name.to_owned(),
                    index,
                    expected,
                    computed,
                };
                self.worst = Some((difference, worst));
            }
        }
    }

    fn finish(self, rule: Rule<'_>) -> Group {
        let error = match self.difference {
            0.0 => 0.0,
            difference => (difference / self.size).sqrt(),
        };
        Group {
            name: self.group.to_owned(),
            values: self.values,
            error,
            reference: rule.error(self.group),
            floor: rule.floor(),
            worst: self.worst.map(|(_, worst)| worst),
        }
    }
}

/// A part of a name, for the order that a person expects: `logits.4` before `logits.16`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(u64),
    Text(&'a str),
}

/// Where a group stands in the table; the name itself keeps apart what looks alike, such as `logits.4` and `logits.04`.
type Place<'a> = (Vec<Part<'a>>, &'a str);

/// Numbers by their size, taps in their own order.
fn place<'a>(group: &'a str, rule: Rule<'_>) -> Place<'a> {
    let (before, tap) = match (taps::split(group), rule) {
        (Some((before, node)), Rule::Reference { taps, .. }) => {
            (before, taps.iter().position(|tap| tap == node))
        }
        _ => (group, None),
    };
    let parts = before.split('.').map(|part| match part.parse() {
        Ok(number) => Part::Number(number),
        Err(_) => Part::Text(part),
    });
    let tap = tap.map(|index| Part::Number(index as u64));
    (parts.chain(tap).collect(), group)
}

const HEADER: [&str; 7] = [
    "group",
    "values",
    "error",
    "reference",
    "ratio",
    "tolerance",
    "",
];

impl Group {
    fn row(&self) -> [String; 7] {
        let (reference, ratio) = match self.reference {
            None => ("-".to_owned(), "-".to_owned()),
            Some(error) if error > 0.0 => {
                (format!("{error:.1e}"), format!("{:.2}", self.error / error))
            }
            Some(error) => (format!("{error:.1e}"), "-".to_owned()),
        };
        [
            self.name.clone(),
            self.values.to_string(),
            format!("{:.1e}", self.error),
            reference,
            ratio,
            match self.reference {
                None => "exact".to_owned(),
                Some(_) => format!("{:.1e}", self.tolerance()),
            },
            if self.passes() { "pass" } else { "FAIL" }.to_owned(),
        ]
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEADER.map(str::to_owned)];
        rows.extend(self.groups.iter().map(Group::row));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        writeln!(f, "{}", self.name)?;
        for row in &rows {
            let mut line = format!("  {:<width$}", row[0], width = widths[0]);
            for (cell, width) in row.iter().zip(widths).skip(1) {
                line += &format!("  {cell:>width$}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        let failed = self.groups.iter().filter(|group| !group.passes());
        for worst in failed.filter_map(|group| group.worst.as_ref()) {
            let Worst {
                name,
                index,
                expected,
                computed,
            } = worst;
            writeln!(
                f,
                "  FAIL  largest difference: {name}[{index}] is expected to be {expected:e} and is {computed:e}"
            )?;
        }
        for mismatch in &self.mismatches {
            writeln!(f, "  FAIL  {mismatch}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::Tensor;
    use super::*;

    fn tensors(values: &[(&str, &[f32])]) -> Tensors {
        let named = values.iter().map(|(name, v)| {
            let tensor = Tensor::new(vec![v.len()], v);
            ((*name).to_owned(), tensor)
        });
        named.collect()
    }

    fn compare(expected: &Tensors, computed: &Tensors, errors: &[(&str, f64)]) -> Comparison {
        let error = |rel_l2| ReferenceError {
            rel_l2,
            max_abs: 0.0,
        };
        let errors = errors.iter().map(|&(n, e)| (n.to_owned(), error(e)));
        let rule = Rule::Reference {
            errors: &errors.collect(),
            floor: FLOOR,
            taps: &["second".to_owned(), "first".to_owned()],
        };
        Comparison::new("case", expected, computed, rule)
    }

    #[test]
    fn groups_gather_names_up_to_the_first_slash() {
        let expected = tensors(&[("step0.grad/a", &[3.0]), ("step0.grad/b", &[4.0])]);
        let computed = tensors(&[("step0.grad/a", &[3.0]), ("step0.grad/b", &[4.5])]);
        let found = compare(&expected, &computed, &[("step0.grad", 0.02)]);
        assert_eq!(found.groups.len(), 1);
        assert_eq!(found.groups[0].error, 0.1);
        assert_eq!(found.groups[0].tolerance(), 0.16);
        assert!(found.passes());
    }

    #[test]
    fn what_is_not_a_number_fails() {
        let (expected, computed) = (tensors(&[("a", &[1.0])]), tensors(&[("a", &[f32::NAN])]));
        let found = compare(&expected, &computed, &[("a", 1e9)]);
        assert!(!found.passes());
    }

    #[test]
    fn a_zero_that_is_not_zero_fails() {
        let (expected, computed) = (tensors(&[("a", &[0.0])]), tensors(&[("a", &[1e-9])]));
        let found = compare(&expected, &computed, &[]);
        assert!(!found.passes());
    }

    #[test]
    fn table_shows_every_group_and_name() {
        let expected = tensors(&[
            ("logits.16", &[1.0, 2.0]),
            ("logits.4", &[4.0]),
            ("b", &[1.0]),
            ("c", &[1.0]),
        ]);
        let computed = tensors(&[
            ("logits.16", &[1.0, 2.1]),
            ("logits.4", &[4.0]),
            ("a", &[1.0]),
            ("c", &[1.0, 1.0]),
        ]);
        let errors = [("logits.4", 1e-7), ("logits.16", 4e-7)];
        let found = compare(&expected, &computed, &errors);
        assert_eq!(found.failures(), 4);
        insta::assert_snapshot!(found);
    }

    #[test]
    fn taps_keep_their_order_and_alike_names_apart() {
        let names = [
            "tap.4.first",
            "tap.4.second",
            "tap.16.first",
            "logits.4",
            "logits.04",
        ];
        let values = names.map(|name| (name, &[1.0][..]));
        let found = compare(&tensors(&values), &tensors(&values), &[]);
        let order: Vec<&str> = found.groups.iter().map(|g| g.name.as_str()).collect();
        let expected = [
            "logits.04",
            "logits.4",
            "tap.4.second",
            "tap.4.first",
            "tap.16.first",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn ones_at_the_end_of_a_shape_count_only_where_all_must_be_equal() {
        let tensor = |shape: &[usize]| {
            let tensor = Tensor {
                shape: shape.to_vec(),
                values: vec![1.0; 2],
            };
            Tensors::from([("a".to_owned(), tensor)])
        };
        assert!(compare(&tensor(&[2]), &tensor(&[2, 1, 1]), &[]).passes());
        assert!(!compare(&tensor(&[2]), &tensor(&[1, 2]), &[]).passes());
        let exact = Comparison::new("case", &tensor(&[2]), &tensor(&[2, 1]), Rule::Exact);
        assert!(!exact.passes());
    }
}
