//! Tables for people: numbers to the right, names to the left.

/// The table as lines, each with a final newline; the first column to the left, the others to the right.
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    aligned(header, rows, 1)
}

/// As [`render`], with every column to the left: for tables of words.
pub fn render_words(header: &[&str], rows: &[Vec<String>]) -> String {
    aligned(header, rows, header.len())
}

/// `left`: how many columns go to the left.
fn aligned(header: &[&str], rows: &[Vec<String>], left: usize) -> String {
    let header = header.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    lines
        .iter()
        .map(|line| render_line(line, &widths, left))
        .collect()
}

fn render_line(cells: &[String], widths: &[usize], left: usize) -> String {
    let cells = cells.iter().zip(widths).enumerate();
    let padded = cells.map(|(column, (cell, &width))| match column {
        _ if column < left => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "100.00 %".to_owned()],
            vec!["longer".to_owned(), "1.00 %".to_owned()],
        ];
        assert_eq!(
            render(&["run", "top-1"], &rows),
            "run        top-1\na       100.00 %\nlonger    1.00 %\n"
        );
        assert_eq!(
            render_words(&["run", "top-1"], &rows),
            "run     top-1\na       100.00 %\nlonger  1.00 %\n"
        );
    }
}
