//! The plot: cost of a call against the bytes that go there and back, for every lane and peer, as an SVG.
//!
//! Both axes are logarithmic. Each line is labelled at its end, so that nobody needs a legend, and has colours that
//! are readable on light and on dark paper; text follows the reader's preference.

use std::fmt::Write as _;

/// Ours is drawn thicker.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) is_ours: bool,
    /// Bytes and nanoseconds.
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// Between the labels of two lines.
const LABEL: f64 = 17.0;
/// Away from both black and white.
const COLOURS: [&str; 10] =
    ["#d9480f", "#f08c00", "#1c7ed6", "#2f9e44", "#ae3ec9", "#5c7cfa", "#0c8599", "#e64980", "#868e96", "#a0522d"];
const SIZES: [(f64, &str); 4] = [(64.0, "64 B"), (1024.0, "1 KiB"), (65_536.0, "64 KiB"), (1_048_576.0, "1 MiB")];
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 } \
                     .grid { stroke: #8884; stroke-width: 1 } \
                     @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }";

/// Where the axes begin and end, as powers of ten.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
}

/// Draws the lines.
pub(super) fn draw(title: &str, lines: &[Line]) -> String {
    let scale = Scale::of(lines);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>\n"
    );
    svg += &grid(&scale);
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        svg += &curve(&scale, line, colour);
    }
    svg += &labels(&scale, lines);
    svg + "</svg>\n"
}

impl Scale {
    fn of(lines: &[Line]) -> Self {
        let all = || lines.iter().flat_map(|line| &line.points);
        let y = all().map(|(_, ns)| ns.log10());
        let (low, high) = y.fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(y), high.max(y)));
        Self { x: (64_f64.log10(), 1_048_576_f64.log10()), y: (low.floor(), high.ceil()) }
    }

    fn x(&self, bytes: f64) -> f64 {
        LEFT + (bytes.log10() - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, ns: f64) -> f64 {
        HEIGHT - BOTTOM - (ns.log10() - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }
}

fn grid(scale: &Scale) -> String {
    let mut svg = String::new();
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (bytes, name) in SIZES {
        let x = scale.x(bytes);
        let _infallible = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            bottom + 22.0
        );
    }
    for power in scale.y.0 as i32..=scale.y.1 as i32 {
        let y = scale.y(10_f64.powi(power));
        let _infallible = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            power_of_ten(power)
        );
    }
    svg
}

fn power_of_ten(power: i32) -> String {
    let unit = ["ns", "µs", "ms", "s"].get((power.max(0) / 3) as usize).copied().unwrap_or("s");
    format!("{} {unit}", 10_i64.pow((power.max(0) % 3) as u32))
}

fn curve(scale: &Scale, line: &Line, colour: &str) -> String {
    let at = |&(bytes, ns): &(f64, f64)| (scale.x(bytes), scale.y(ns));
    let path: Vec<String> = line.points.iter().map(at).map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    let width = if line.is_ours { 4 } else { 2 };
    let mut svg =
        format!("<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n", path.join("L"));
    for (x, y) in line.points.iter().map(at) {
        let _infallible = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{width}\" fill=\"{colour}\"/>");
    }
    svg
}

/// At the lines' ends, moved apart where two would meet.
fn labels(scale: &Scale, lines: &[Line]) -> String {
    let mut ends: Vec<_> = lines
        .iter()
        .zip(COLOURS.iter().cycle())
        .filter_map(|(line, colour)| line.points.last().map(|&(_, ns)| (scale.y(ns), line, colour)))
        .collect();
    ends.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let mut svg = String::new();
    let mut above = f64::MIN;
    for (y, line, colour) in ends {
        let place = y.max(above + LABEL);
        above = place;
        let x = WIDTH - RIGHT;
        let _infallible = writeln!(
            svg,
            "<path d=\"M{:.1} {y:.1}L{:.1} {place:.1}\" stroke=\"{colour}\" fill=\"none\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" {}>{}</text>",
            x + 6.0,
            x + 20.0,
            x + 25.0,
            place + 4.0,
            if line.is_ours { "class=\"title\"" } else { "" },
            line.name
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, ns: f64) -> Line {
        Line { name: name.to_owned(), is_ours: false, points: vec![(64.0, ns), (1_048_576.0, 10.0 * ns)] }
    }

    #[test]
    fn every_line_is_drawn_and_labelled() {
        let svg = draw("What a call costs", &[line("one", 10.0), line("two", 1_000.0)]);
        assert!(svg.contains(">one</text>") && svg.contains(">two</text>"));
        assert!(svg.contains("prefers-color-scheme: dark"));
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn labels_of_equal_lines_do_not_meet() {
        let lines = [line("one", 10.0), line("two", 10.0)];
        let svg = labels(&Scale::of(&lines), &lines);
        let places: Vec<f64> =
            svg.split("y=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect();
        assert_eq!(places.len(), 2);
        assert!((places[1] - places[0]).abs() >= LABEL);
    }

    #[test]
    fn axes_say_units() {
        assert_eq!([0, 2, 3, 5, 6].map(power_of_ten), ["1 ns", "100 ns", "1 µs", "100 µs", "1 ms"]);
    }
}
