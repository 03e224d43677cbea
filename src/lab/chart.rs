//! Draws a chart of FAR and FRR as SVG, both on logarithmic scales. The rates come from `people`.

use std::fmt::Write as _;

/// A curve with points of FAR and FRR, each 0 to 1.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

const COLOURS: [&str; 6] = [
    "#1a7f37", "#cf222e", "#0969da", "#9a6700", "#8250df", "#57606a",
];
const DECADES: [f64; 5] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// The area of the curves in the chart, in units of the SVG's view box.
const LEFT: f64 = 60.0;
const TOP: f64 = 20.0;
const WIDE: f64 = 520.0;
const HIGH: f64 = 360.0;

/// The chart as SVG. `across` and `down` are the names of its axes.
pub fn chart(across: &str, down: &str, lines: &[Line]) -> String {
    let place = |v: f64| (v.clamp(1e-4, 1.0).log10() + 4.0) / 4.0;
    let x = |far: f64| LEFT + WIDE * place(far);
    let y = |frr: f64| TOP + HIGH * (1.0 - place(frr));
    let mut svg = String::from(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 440" font-family="sans-serif" font-size="12"><rect width="620" height="440" fill="white"/>"#,
    );
    for decade in DECADES {
        let (at_x, at_y, percent) = (x(decade), y(decade), 100.0 * decade);
        let _ = write!(
            svg,
            r##"<path d="M{at_x:.1} {TOP}V{0}M{LEFT} {at_y:.1}H{1}" stroke="#d0d7de"/><text x="{at_x:.1}" y="{2}" text-anchor="middle">{percent} %</text><text x="{3}" y="{4:.1}" text-anchor="end">{percent} %</text>"##,
            TOP + HIGH,
            LEFT + WIDE,
            TOP + HIGH + 18.0,
            LEFT - 6.0,
            at_y + 4.0
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{}" y="430" text-anchor="middle">{across}</text><text transform="translate(14 {}) rotate(-90)" text-anchor="middle">{down}</text>"#,
        LEFT + 0.5 * WIDE,
        TOP + 0.5 * HIGH
    );
    for (k, line) in lines.iter().enumerate() {
        let colour = COLOURS[k % COLOURS.len()];
        let path: Vec<String> = line
            .points
            .iter()
            .map(|(far, frr)| format!("{:.1} {:.1}", x(*far), y(*frr)))
            .collect();
        let _ = write!(
            svg,
            r#"<path d="M{}" fill="none" stroke="{colour}" stroke-width="2"/><text x="{}" y="{}" fill="{colour}" text-anchor="end">{}</text>"#,
            path.join("L"),
            LEFT + WIDE - 8.0,
            TOP + 18.0 + 16.0 * k as f64,
            line.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}
