//! Python, for the tests that hold this program against others.

use std::process::Command;

use crate::skipped::skipped;

/// `FFN_PYTHON`, else `python3`, if it can import `modules`. If not, the test has compared nothing and says so on
/// standard error, past the capture of a test's output.
pub fn python(modules: &[&str]) -> Option<Command> {
    let program = std::env::var("FFN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = format!("import {}", modules.join(", "));
    let found = Command::new(&program).args(["-c", &import]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(program));
    }
    let modules = modules.join(", ");
    skipped(&format!(
        "`{program}` cannot import {modules}; FFN_PYTHON names another"
    ));
    None
}
