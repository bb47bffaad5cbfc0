//! One table in the formats that papers and pages take. The first column goes to the left, the others to the right.

use super::escape;

/// What a table is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Markdown, as GitHub and mdBook read it.
    Md,
    /// An HTML `table` element.
    Html,
    /// A LaTeX `tabular` with the rules of the package booktabs.
    Latex,
}

/// Cells of plain text; each format escapes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// What the cells mean; empty where they speak for themselves.
    pub note: String,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self {
            header: header.iter().map(|cell| (*cell).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The whole text, with a final newline.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Md => {
                let rows: Vec<Vec<String>> = self.rows.iter().map(|row| escaped(row)).collect();
                let table = markdown(&escaped(&self.header), &rows);
                match self.note.is_empty() {
                    true => table,
                    false => format!("{table}\n{}\n", escape::markdown(&self.note)),
                }
            }
            Format::Html => self.html(),
            Format::Latex => self.latex(),
        }
    }

    fn html(&self) -> String {
        let row = |tag: &str, cells: &[String]| {
            let cells = cells.iter().enumerate().map(|(column, cell)| {
                let align = if column == 0 { "left" } else { "right" };
                format!(
                    "<{tag} style=\"text-align: {align}\">{}</{tag}>",
                    escape::markup(cell)
                )
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(|cells| row("td", cells)).collect();
        let header = row("th", &self.header);
        let caption = match self.note.is_empty() {
            true => String::new(),
            false => format!("<caption>{}</caption>\n", escape::markup(&self.note)),
        };
        format!("<table>\n{caption}<thead>\n{header}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
    }

    fn latex(&self) -> String {
        let row = |cells: &Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|cell| escape::latex(cell)).collect();
            format!("{} \\\\\n", cells.join(" & "))
        };
        let columns = "r".repeat(self.header.len().saturating_sub(1));
        let rows: String = self.rows.iter().map(row).collect();
        let note = match self.note.is_empty() {
            true => String::new(),
            false => format!("% {}\n", self.note),
        };
        format!(
            "% \\usepackage{{booktabs}}\n{note}\\begin{{tabular}}{{l{columns}}}\n\\toprule\n{}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n",
            row(&self.header)
        )
    }
}

fn escaped(cells: &[String]) -> Vec<String> {
    cells.iter().map(|cell| escape::markdown(cell)).collect()
}

/// A Markdown table of cells that are Markdown already.
pub fn markdown(header: &[String], rows: &[Vec<String>]) -> String {
    aligned(header, rows, "---:")
}

/// As [`markdown`], with every column to the left: for tables of words.
pub fn words(header: &[String], rows: &[Vec<String>]) -> String {
    aligned(header, rows, "---")
}

fn aligned(header: &[String], rows: &[Vec<String>], others: &str) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = (0..header.len())
        .map(|column| if column == 0 { "---" } else { others }.to_owned())
        .collect();
    let rows: String = rows.iter().map(|cells| row(cells)).collect();
    format!("{}{}{rows}", row(header), row(&rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["run", "16 → 4"]);
        table.rows.push(vec!["a_b|c & <d>".into(), "1.00 %".into()]);
        table
    }

    #[test]
    fn every_format_escapes_what_is_special_in_it() {
        let md = "| run | 16 → 4 |\n| --- | ---: |\n| a\\_b\\|c \\& \\<d\\> | 1.00 % |\n";
        assert_eq!(table().render(Format::Md), md);
        let html = table().render(Format::Html);
        assert!(html.contains("a_b|c &amp; &lt;d&gt;</td>"), "{html}");
        let latex = table().render(Format::Latex);
        assert!(latex.contains("run & 16 $\\to$ 4 \\\\"), "{latex}");
        let cells = "a\\_b\\textbar{}c \\& \\textless{}d\\textgreater{} & 1.00 \\% \\\\";
        assert!(latex.contains(cells), "{latex}");
    }
}
