//! How figures look: for every figure the same, in light and dark, on a phone, for the colour-blind.

/// Width of a figure in its own units. Small, so that a phone's width does not shrink the text out of sight.
pub const WIDTH: f64 = 440.0;
/// Height of a text line.
pub const LINE: f64 = 16.0;
/// Mean width of a letter: an estimate on the safe side, for no font can be asked.
const LETTER: f64 = 7.4;

/// Colour, dash and marker of a series: any one of them tells it from the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// From the palette of Okabe and Ito, which people with any colour vision tell apart.
    pub colour: &'static str,
    /// `stroke-dasharray`
    pub dash: &'static str,
    pub marker: Marker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    Down,
}

const STYLES: [Style; 6] = [
    style("#D55E00", "none", Marker::Circle),
    style("#0072B2", "7 3", Marker::Square),
    style("#009E73", "2 3", Marker::Triangle),
    style("#CC79A7", "9 3 2 3", Marker::Diamond),
    style("#E69F00", "4 2", Marker::Cross),
    style("#56B4E9", "1 2", Marker::Down),
];

const fn style(colour: &'static str, dash: &'static str, marker: Marker) -> Style {
    Style {
        colour,
        dash,
        marker,
    }
}

impl Style {
    /// The style of series number `index`; after the sixth they come again.
    pub fn of(index: usize) -> Self {
        STYLES[index % STYLES.len()]
    }
}

/// The colour of a matrix's cells.
pub const CELL: &str = "#0072B2";

/// How wide a text is at most, about.
pub fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// The figure's own style sheet, as an element. `id`: letters, digits, `-`. In a page of mdBook `--fg` and `--bg` are the
/// theme's; elsewhere the reader's system says whether it is dark.
pub fn sheet(id: &str) -> String {
    format!(
        "<style>\n#{id} {{ --ink: var(--fg, #1a1a1a); --paper: var(--bg, #ffffff); width: 100%; max-width: 528px; height: auto; }}\n\
         @media (prefers-color-scheme: dark) {{ #{id} {{ --ink: var(--fg, #e4e4e4); --paper: var(--bg, #16181c); }} }}\n\
         #{id} .paper {{ fill: var(--paper); }}\n\
         #{id} text {{ fill: var(--ink); font: 13px system-ui, sans-serif; }}\n\
         #{id} text.title {{ font-weight: 600; font-size: 14px; }}\n\
         #{id} text.note, #{id} text.tick {{ font-size: 12px; }}\n\
         #{id} text.cell {{ font-size: 11px; }}\n\
         #{id} text.on {{ fill: #ffffff; }}\n\
         #{id} .axis {{ stroke: var(--ink); stroke-width: 1; }}\n\
         #{id} .grid {{ stroke: var(--ink); stroke-width: 0.5; stroke-opacity: 0.2; }}\n</style>\n"
    )
}
