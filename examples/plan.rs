//! Reads an experiment, changes a field, and says what both cost.
//!
//! ```sh
//! cargo run --release --example plan -- experiments/ffn_tsm_sthv2.ron
//! ```

use std::path::PathBuf;

use ffn::base::Result;
use ffn::exec::DeviceId;
use ffn::plan::{Plan, Target};
use ffn::spec::{self, Settings};

fn main() -> std::process::ExitCode {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let file = file.unwrap_or_else(|| PathBuf::from("experiments/ffn_tsm_miniature.ron"));
    match tell(&file) {
        Ok(text) => {
            let _ = ffn::base::terminal::print(text);
            std::process::ExitCode::SUCCESS
        }
        // Every mistake of the file, each underlined.
        Err(error) => {
            ffn::base::terminal::say_exactly(&error.to_string());
            std::process::ExitCode::FAILURE
        }
    }
}

fn tell(file: &std::path::Path) -> Result<String> {
    let smaller = Settings::parse(&["train.batch=4".to_owned()])?;
    let mut text = String::new();
    for settings in [Settings::default(), smaller] {
        let experiment = spec::load_with(file, &settings)?.experiment;
        let target = Target {
            engine: None,
            device: DeviceId::Cpu,
            gpu: None,
        };
        let plan = Plan::of(&experiment, &target)?;
        let memory = (plan.training.memory.arena_bytes + plan.training.state_bytes) as f64 / 1e9;
        text += &format!(
            "{} clips a step: {} parameters, {:.1} G multiply-adds, {memory:.2} GB\n",
            plan.training.batch,
            plan.parameter_count,
            plan.training.step_multiply_adds as f64 / 1e9
        );
    }
    Ok(text)
}
