//! The miniature: rendered clips whose classes differ only in motion, in Something-Something V2's layout.

use std::path::Path;

use crate::base::Result;
use crate::spec::Miniature;

/// Renders what is missing of the miniature below `root` (labels.json, train.json, validation.json, `<id>.webm`),
/// and does nothing where it is complete. `progress(done, total)` is called as clips are finished.
pub fn render(
    _root: &Path,
    _miniature: &Miniature,
    _progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<()> {
    todo!()
}
