//! The paper's own results, for drawing beside ours. They are of other data and a larger network (ResNet-50).
//!
//! Zhang et al., "Frame Flexible Network", CVPR 2023, arXiv 2303.14817.

/// One data set's results: top-1 in percent at each frame count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table {
    pub dataset: &'static str,
    /// Where there is little room.
    pub short: &'static str,
    /// Validation clips.
    pub clips: usize,
    pub source: &'static str,
    pub frames: [usize; 3],
    /// 10⁹ multiply-adds of one view of a clip: those of our graph of TSM-ResNet-50 at 224 × 224.
    pub gflops: [f64; 3],
    /// TSM trained at the largest frame count.
    pub vanilla: [f64; 3],
    /// One TSM trained for each frame count.
    pub separate: [f64; 3],
    pub flexible: [f64; 3],
}

/// Something-Something V2: the one drawn where nothing else is asked for.
pub const SSV2: Table = Table {
    dataset: "Something-Something V2",
    short: "SSv2",
    clips: 24_777,
    source: "Zhang et al. 2023, table 1",
    frames: [4, 8, 16],
    gflops: [16.35, 32.70, 65.40],
    vanilla: [31.52, 51.55, 61.02],
    separate: [53.38, 59.29, 61.02],
    flexible: [56.07, 61.86, 63.61],
};
