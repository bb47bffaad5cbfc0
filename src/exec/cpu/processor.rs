//! What the processor is, as far as results or speed depend on it.

use super::amx::has_amx;

/// As its maker calls it.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub fn name() -> String {
    let brand = raw_cpuid::CpuId::new().get_processor_brand_string();
    brand.map_or_else(unknown, |brand| brand.as_str().trim().to_owned())
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
pub fn name() -> String {
    unknown()
}

fn unknown() -> String {
    format!("unknown {}", std::env::consts::ARCH)
}

/// Its device class: `precision: Mixed` decides by it in which order products are summed, hence their last bits. AMX
/// counts where this process may use it.
pub fn class() -> String {
    match has_amx() {
        true => format!("{} amx", vectors()),
        false => vectors().to_owned(),
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn vectors() -> &'static str {
    if is_x86_feature_detected!("avx512f") {
        "cpu x86 avx512"
    } else if is_x86_feature_detected!("fma") {
        "cpu x86 fma"
    } else {
        "cpu x86"
    }
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn vectors() -> &'static str {
    "cpu generic"
}
