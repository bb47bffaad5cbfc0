//! Text that a format shows as it is.

/// Markdown, in one line.
pub fn markdown(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| {
        let special = ['\\', '|', '*', '_', '`', '[', ']', '<', '>', '&', '#'].contains(&c);
        special.then_some('\\').into_iter().chain([c])
    });
    escaped.collect::<String>().replace('\n', " ")
}

/// Markdown of a doc comment in a cell: its code stays code, only what would end the cell is escaped.
pub fn markdown_text(text: &str) -> String {
    let in_one_line = text.replace('\n', " ");
    in_one_line.replace('|', "\\|").replace('<', "&lt;")
}

/// HTML and XML 1.0, in elements and in quoted attributes: the five signs escaped, and no control character, which XML
/// does not allow.
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            sign if sign.is_control() => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}

/// LaTeX, pdfLaTeX too: what our tables hold beyond ASCII is spelled in commands.
pub fn latex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            // After a row's end a bracket would be the length of a gap.
            '[' => escaped.push_str("{[}"),
            '→' => escaped.push_str("$\\to$"),
            '×' => escaped.push_str("$\\times$"),
            '≥' => escaped.push_str("$\\geq$"),
            '≤' => escaped.push_str("$\\leq$"),
            'λ' => escaped.push_str("$\\lambda$"),
            '±' => escaped.push_str("$\\pm$"),
            '−' => escaped.push_str("$-$"),
            '–' => escaped.push_str("--"),
            '\u{a0}' => escaped.push('~'),
            '\n' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
