//! What a flip makes of the classes.

use crate::base::{Error, Kind, Result};
use crate::data::listing::label_of;
use crate::spec::{Crops, Flip};

/// The label that each class has when its clip is flipped.
///
/// # Errors
/// A flip map that names what is no class, or a class twice; a flip without a map where classes tell left from right.
pub fn flipped_labels(flip: &Flip, classes: &[String]) -> Result<Vec<usize>> {
    let mut labels: Vec<usize> = (0..classes.len()).collect();
    match flip {
        Flip::Off => {}
        Flip::Random => refuse_directions(classes)?,
        Flip::Mapped { classes: pairs } => {
            for (a, b) in pairs {
                let label = |name| label_of("the flip map names", name, classes);
                let (one, other) = (label(a)?, label(b)?);
                if labels[one] != one || labels[other] != other {
                    return Err(Error::new(
                        Kind::Experiment,
                        format!("the flip map has a class of the pair `{a}`, `{b}` twice"),
                    ));
                }
                labels.swap(one, other);
            }
        }
    }
    Ok(labels)
}

/// Refuses an evaluation that flips crops where classes tell left from right; a flip map without pairs says that none does.
pub fn check_crops(flip: &Flip, crops: Crops, classes: &[String]) -> Result<()> {
    let none_changes = matches!(flip, Flip::Mapped { classes } if classes.is_empty());
    match directed(classes) {
        Some(class) if crops == Crops::Ten && !none_changes => Err(Error::new(
            Kind::Experiment,
            format!("five of ten crops are flipped, and a flip would make clips of `{class}` show another class"),
        )
        .hint("write `crops: Three`, which flips nothing; or `flip: Mapped(classes: [])` for the training, if no class changes")),
        _ => Ok(()),
    }
}

/// A class whose name tells left from right.
fn directed(classes: &[String]) -> Option<&String> {
    classes.iter().find(|class| {
        class.split(|c: char| !c.is_alphanumeric()).any(|word| {
            [
                "left",
                "right",
                "clockwise",
                "anticlockwise",
                "counterclockwise",
            ]
            .contains(&word.to_lowercase().as_str())
        })
    })
}

fn refuse_directions(classes: &[String]) -> Result<()> {
    match directed(classes) {
        None => Ok(()),
        Some(class) => Err(Error::new(
            Kind::Experiment,
            format!("a random flip would make clips of `{class}` show another class"),
        )
        .hint("write `flip: Off`, or `Mapped` with the pairs of classes that a flip exchanges (none, if it is none)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["Moving left", "Moving right", "Falling"]
            .map(str::to_owned)
            .to_vec()
    }

    fn mapped(pairs: &[(&str, &str)]) -> Flip {
        let own = |(a, b): &(&str, &str)| (a.to_string(), b.to_string());
        Flip::Mapped {
            classes: pairs.iter().map(own).collect(),
        }
    }

    #[test]
    fn labels_follow_the_map() {
        let labels = flipped_labels(&mapped(&[("Moving left", "Moving right")]), &classes());
        assert_eq!(labels.unwrap(), [1, 0, 2]);
        assert_eq!(flipped_labels(&Flip::Off, &classes()).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() {
        let message = |flip| flipped_labels(&flip, &classes()).unwrap_err().to_string();
        insta::assert_snapshot!("flip_of_directions", message(Flip::Random));
        insta::assert_snapshot!(
            "flip_of_no_class",
            message(mapped(&[("Moving leff", "Falling")]))
        );
        let twice = mapped(&[("Moving left", "Moving right"), ("Moving left", "Falling")]);
        insta::assert_snapshot!("flip_of_a_class_twice", message(twice));
    }

    #[test]
    fn an_empty_map_says_that_no_class_changes() {
        assert_eq!(flipped_labels(&mapped(&[]), &classes()).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn flipped_crops_are_refused_where_classes_have_directions() {
        let check = |flip, crops, classes: &[String]| check_crops(&flip, crops, classes);
        let message = check(Flip::Off, Crops::Ten, &classes()).unwrap_err();
        insta::assert_snapshot!("ten_crops_of_directions", message.to_string());
        check(Flip::Off, Crops::Three, &classes()).unwrap();
        check(Flip::Off, Crops::Ten, &["Falling".to_owned()]).unwrap();
        check(mapped(&[]), Crops::Ten, &classes()).unwrap();
    }
}
