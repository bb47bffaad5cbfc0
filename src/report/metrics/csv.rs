//! One flat table as CSV.

use super::series::Series;
use crate::base::{Error, Kind, Result};
use crate::report::escape;

/// `run,tag,step,wall_time,value`
pub fn table(series: &Series) -> Result<Vec<u8>> {
    let fail = |e: String| Error::new(Kind::Io, format!("cannot write as CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut rows = vec![["run", "tag", "step", "wall_time", "value"].map(str::to_owned)];
    rows.extend(series.points.iter().map(|point| {
        [
            escape::cell(&series.run),
            escape::cell(&point.tag),
            point.step.to_string(),
            point.wall_time.to_string(),
            point.value.to_string(),
        ]
    }));
    for row in rows {
        writer.write_record(row).map_err(|e| fail(e.to_string()))?;
    }
    writer.into_inner().map_err(|e| fail(e.to_string()))
}
