//! Official names: which tensor of a vanilla model belongs to which of a Frame Flexible Network.

/// The name in the vanilla model: `….bn1_8.weight` → `….bn1.weight`, `….downsample_conv.weight` →
/// `….downsample.0.weight`, `….downsample_bn_8.bias` → `….downsample.1.bias`; others stay.
pub fn vanilla(name: &str) -> String {
    let Some((module, leaf)) = name.rsplit_once('.') else {
        return name.to_owned();
    };
    let module = match module.rsplit_once('_') {
        Some((shared, frames))
            if !frames.is_empty() && frames.bytes().all(|b| b.is_ascii_digit()) =>
        {
            shared
        }
        _ => module,
    };
    let module = match module.rsplit_once('.') {
        Some((block, "downsample_conv")) => format!("{block}.downsample.0"),
        Some((block, "downsample_bn")) => format!("{block}.downsample.1"),
        _ => module.to_owned(),
    };
    format!("{module}.{leaf}")
}

/// The name without the `net` that the original TSM code puts between a block and what it shifts:
/// `….layer1.0.conv1.net.weight` → `….layer1.0.conv1.weight`.
pub fn without_shift_module(name: &str) -> String {
    name.replace(".net.", ".")
}

#[cfg(test)]
mod tests {
    use super::{vanilla, without_shift_module};

    #[test]
    fn shift_modules_are_seen_through() {
        for (name, expected) in [
            (
                "base_model.layer1.0.conv1.net.weight",
                "base_model.layer1.0.conv1.weight",
            ),
            (
                "base_model.layer1.0.net.bn1.bias",
                "base_model.layer1.0.bn1.bias",
            ),
            ("base_model.conv1.weight", "base_model.conv1.weight"),
        ] {
            assert_eq!(without_shift_module(name), expected);
        }
    }

    #[test]
    fn private_names_lead_to_vanilla_ones() {
        for (name, expected) in [
            (
                "base_model.bn1_16.running_mean",
                "base_model.bn1.running_mean",
            ),
            (
                "base_model.layer1.0.bn3_4.weight",
                "base_model.layer1.0.bn3.weight",
            ),
            (
                "base_model.layer2.0.downsample_conv.weight",
                "base_model.layer2.0.downsample.0.weight",
            ),
            (
                "base_model.layer2.0.downsample_bn_8.bias",
                "base_model.layer2.0.downsample.1.bias",
            ),
            (
                "base_model.layer2.0.downsample.1.bias",
                "base_model.layer2.0.downsample.1.bias",
            ),
            ("base_model.conv1.weight", "base_model.conv1.weight"),
            ("new_fc.weight", "new_fc.weight"),
        ] {
            assert_eq!(vanilla(name), expected);
        }
    }
}
