//! The figures as a picture: added latency over the share of requests, one curve per database, and the same
//! request without us. SVG, written by hand: a chart of this kind is lines and words.

use std::fmt::Write as _;
use std::time::Duration;

use super::figures::CURVE;
use super::measure::Measured;
use super::report::title;

const WIDTH: u64 = 760;
const HEIGHT: u64 = 420;
/// Where the axes are.
const LEFT: u64 = 70;
const RIGHT: u64 = 560;
const TOP: u64 = 50;
const BOTTOM: u64 = 360;
/// The range of times, in powers of two of a microsecond: 32 µs to half a second.
const LEAST: u64 = 5;
const MOST: u64 = 19;

/// The picture as a document.
pub(super) fn svg(measured: &[Measured], latency_ms: u64) -> String {
    let mut curves = Vec::new();
    for (one, colour) in measured.iter().zip(["#0b6e99", "#b5532c"]) {
        let rate = one.at_rate.rate;
        let name = format!("added, {}, {rate}/s", title(one.name));
        curves.push((name, colour, &one.at_rate.curve));
        if let Some(stored) = &one.stored {
            let name = format!("{} beside {} stored", title(one.name), stored.payments);
            curves.push((name, "#7a5ea8", &stored.figures.curve));
        }
    }
    if let Some(one) = measured.first() {
        let name = format!("the provider alone, {latency_ms} ms");
        curves.push((name, "#8a8a8a", &one.direct.curve));
    }
    let mut out = String::new();
    // Writing to a text does not fail.
    let _ = write_all(&mut out, &curves);
    out
}

fn write_all(out: &mut String, curves: &[(String, &str, &Vec<Duration>)]) -> std::fmt::Result {
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(out, r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#)?;
    writeln!(
        out,
        r#"<text x="{LEFT}" y="28" font-size="16">Time per request, by share of requests</text>"#
    )?;
    for power in LEAST..=MOST {
        let time = Duration::from_micros(1 << power);
        let y = height(time);
        writeln!(out, r##"<line x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}" stroke="#e4e4e4"/>"##)?;
        if power % 2 == 1 {
            let label = label(time);
            let (x, y) = (LEFT - 8, y + 4);
            writeln!(out, r#"<text x="{x}" y="{y}" text-anchor="end">{label}</text>"#)?;
        }
    }
    for (place, permille) in CURVE.iter().enumerate() {
        let x = across(place);
        let tenths = if permille % 10 == 0 { String::new() } else { format!(".{}", permille % 10) };
        let y = BOTTOM + 20;
        writeln!(
            out,
            r#"<text x="{x}" y="{y}" text-anchor="middle">{}{tenths} %</text>"#,
            permille / 10
        )?;
    }
    for (place, (name, colour, curve)) in curves.iter().enumerate() {
        let points: Vec<String> = curve
            .iter()
            .enumerate()
            .map(|(at, time)| format!("{},{}", across(at), height(*time)))
            .collect();
        let points = points.join(" ");
        writeln!(
            out,
            r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>"#
        )?;
        let y = TOP + 12 + 20 * place as u64;
        let x = RIGHT + 12;
        writeln!(out, r#"<text x="{x}" y="{y}" fill="{colour}">{name}</text>"#)?;
    }
    writeln!(out, "</svg>")
}

fn across(place: usize) -> u64 {
    let steps = CURVE.len().saturating_sub(1).max(1) as u64;
    LEFT + (RIGHT - LEFT) * (place as u64) / steps
}

/// On a scale where each doubling is as high as the next; straight in between, which is near enough.
fn height(time: Duration) -> u64 {
    const FINE: u64 = 1_000;
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1 << LEAST, 1 << MOST);
    let power = u64::from(micros.ilog2());
    let beyond = ((micros - (1 << power)) * FINE) >> power;
    let up = (power - LEAST) * FINE + beyond;
    BOTTOM - (BOTTOM - TOP) * up / ((MOST - LEAST) * FINE)
}

fn label(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 1_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_time_is_higher_and_stays_in_the_picture() {
        let micros = [0, 31, 32, 40, 64, 1_000, 1_024, 60_000, 524_288, 90_000_000];
        let heights = micros.map(|micros| height(Duration::from_micros(micros)));
        assert!(heights.is_sorted_by(|a, b| a >= b), "{heights:?}");
        assert_eq!((heights[0], heights[9]), (BOTTOM, TOP));
    }

    #[test]
    fn the_picture_has_a_curve_for_each_database_and_one_for_the_provider() {
        let both = ["sqlite", "postgres"].map(|name| Measured { name, ..Measured::default() });
        let picture = svg(&both, 2);
        assert_eq!(picture.matches("<polyline").count(), 3);
        assert!(picture.ends_with("</svg>\n") && picture.contains("PostgreSQL"));
    }
}
