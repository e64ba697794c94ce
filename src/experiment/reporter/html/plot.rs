//! Plots, as SVG.
//!
//! Text and axes are black. The page's style gives them its own color, so that they fit its dark mode.

use std::io;

use anstyle::RgbColor;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::experiment::report::{Curve, Finding, RequestBar, Timeline, Unit};
use crate::experiment::reporter::{number, palette};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = Result<(), Box<dyn std::error::Error>>;
/// Position in pixels.
type Pixel = (i32, i32);

const WIDTH: u32 = 1100;
/// Height of a line of text or a bar.
const LINE: u32 = 26;
/// Width of the labels to the left of the bars of a timeline.
const TIMELINE_LABELS: u32 = 80;
/// Width of the labels to the left of the predictions.
const FINDING_LABELS: u32 = 360;
/// Width of the numbers to the right of bars.
const NUMBERS: u32 = 90;
/// Width of the labels to the right of curves.
const CURVE_LABELS: u32 = 280;
/// Minimum width of a bar in pixels: a request of 6 ms must be visible on an axis of 20 s.
const MIN_BAR: i32 = 4;
const FONT: (&str, u32) = ("sans-serif", 14);
/// Colors of curves, readable on white and on black and by the color-blind (Okabe and Ito 2008).
const CURVE_COLORS: [RGBColor; 7] = [
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x00, 0x72, 0xB2),
    // The color of text, in dark mode too.
    RGBColor(0, 0, 0),
];

fn svg(height: u32, draw: impl Fn(&Area<'_>) -> DrawResult) -> io::Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
    let drawn = draw(&area).and_then(|()| Ok(area.present()?));
    drawn.map_err(|error| io::Error::other(error.to_string()))?;
    drop(area);
    Ok(text)
}

fn rgb(RgbColor(red, green, blue): RgbColor) -> RGBColor {
    RGBColor(red, green, blue)
}

/// Draws requests as bars over time with their latencies, and the thread states below them.
pub(super) fn timeline(timeline: &Timeline) -> io::Result<String> {
    let rows = timeline.requests.len() as u32 + 1;
    svg(rows * LINE + 60, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(NUMBERS)
            .x_label_area_size(36)
            .y_label_area_size(TIMELINE_LABELS)
            .build_cartesian_2d(0.0..timeline.seconds, f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_y_axis()
            .x_desc("seconds")
            .draw()?;
        let at = |x: f64, row: f64| chart.backend_coord(&(x, row));
        for (row, bar) in timeline.requests.iter().enumerate() {
            let row = row as f64;
            let mut end = at(bar.at_seconds, row + 0.5);
            for (from, to, color) in pieces(bar) {
                let (from, to) = (at(from, row + 0.15), at(to, row + 0.85));
                if to.0 > from.0 {
                    block(area, from, to, color)?;
                    end.0 = to.0;
                }
            }
            let start = at(bar.at_seconds, row + 0.15);
            let narrowest = (start.0 + MIN_BAR, at(0.0, row + 0.85).1);
            if end.0 < narrowest.0 {
                block(area, start, narrowest, palette::RUNNING)?;
                end.0 = narrowest.0;
            }
            label_left(area, at(0.0, row + 0.5), &bar.path, TIMELINE_LABELS)?;
            let latency = number::number(bar.latency_seconds, Unit::Seconds);
            label(area, (end.0 + 6, end.1), latency)?;
        }
        let row = timeline.requests.len() as f64;
        let mut from = 0.0;
        for slice in &timeline.threads {
            let corners = (at(from, row + 0.15), at(slice.until_seconds, row + 0.85));
            block(area, corners.0, corners.1, palette::state(slice.state))?;
            from = slice.until_seconds;
        }
        label_left(area, at(0.0, row + 0.5), "threads", TIMELINE_LABELS)
    })
}

/// Returns the parts of a request with their colors: waiting for a thread, holding it, waiting without it, or the
/// whole of it if its parts are not known.
fn pieces(bar: &RequestBar) -> [(f64, f64, RgbColor); 4] {
    let queued = bar.at_seconds + bar.queued_seconds;
    let held = queued + bar.held_seconds;
    let untimed = if bar.is_timed() || !bar.latency_seconds.is_finite() {
        0.0
    } else {
        bar.latency_seconds
    };
    [
        (bar.at_seconds, queued, palette::RUNNABLE),
        (queued, held, palette::BLOCKED),
        (held, held + bar.awaited_seconds, palette::AWAITING),
        (bar.at_seconds, bar.at_seconds + untimed, palette::UNTIMED),
    ]
}

fn block(area: &Area<'_>, from: Pixel, to: Pixel, color: RgbColor) -> DrawResult {
    Ok(area.draw(&Rectangle::new([from, to], rgb(color).filled()))?)
}

/// Draws text that begins at `point`, vertically centered.
fn label(area: &Area<'_>, point: Pixel, text: String) -> DrawResult {
    Ok(area.draw(&Text::new(text, (point.0, point.1 - 7), FONT))?)
}

/// Draws text `width` pixels to the left of `point`.
fn label_left(area: &Area<'_>, point: Pixel, text: &str, width: u32) -> DrawResult {
    label(area, (point.0 - width as i32, point.1), text.to_owned())
}

/// Draws latency quantiles, dashed for the asynchronous server. The axis is logarithmic in 1 - quantile, so
/// that 0.9, 0.99 and 0.999 are equally far apart.
pub(super) fn curves(curves: &[Curve]) -> io::Result<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let highest = points().map(|point| point.seconds).fold(0.01, f64::max) * 1.5;
    let lowest = points()
        .map(|point| point.seconds)
        .fold(highest, f64::min)
        .max(1e-4)
        / 1.5;
    let last_x = 1000.0;
    svg(400, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(CURVE_LABELS)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((1.0..last_x).log_scale(), (lowest..highest).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("quantile of the requests (solid: sync, dashed: async)")
            .y_desc("latency from the scheduled send time")
            .x_labels(4)
            .y_labels(6)
            .max_light_lines(0)
            .x_label_formatter(&|x| format!("{}", 1.0 - 1.0 / x))
            .y_label_formatter(&|y| number::number(*y, Unit::Seconds))
            .draw()?;
        let mut ends = Vec::new();
        let mut loads: Vec<&str> = Vec::new();
        for curve in curves {
            // The same load on both servers has the same color.
            let load = curve.label.trim_start_matches(curve.server);
            let index = loads.iter().position(|known| *known == load);
            let index = index.unwrap_or(loads.len());
            if index == loads.len() {
                loads.push(load);
            }
            let color = CURVE_COLORS[index % CURVE_COLORS.len()];
            let style = color.stroke_width(2);
            let line = curve.points.iter().map(|point| {
                (
                    1.0 / (1.0 - point.quantile).max(1.0 / last_x),
                    point.seconds.max(lowest),
                )
            });
            if let Some(last) = line.clone().next_back() {
                ends.push((chart.backend_coord(&last), color, curve));
            }
            match curve.server {
                "async" => chart.draw_series(DashedLineSeries::new(line, 6, 4, style))?,
                _ => chart.draw_series(LineSeries::new(line, style))?,
            };
        }
        ends.sort_by_key(|(end, _, _)| end.1);
        let mut rows: Vec<i32> = ends.iter().map(|(end, _, _)| end.1).collect();
        spread(&mut rows, 17, chart.backend_coord(&(1.0, lowest)).1);
        for ((end, color, curve), row) in ends.into_iter().zip(rows) {
            let leader = vec![end, (end.0 + 14, row), (end.0 + 26, row)];
            area.draw(&PathElement::new(leader, color.stroke_width(2)))?;
            label(area, (end.0 + 32, row), direct_label(curve))?;
        }
        Ok(())
    })
}

/// Returns the label of a curve, with the server first.
fn direct_label(curve: &Curve) -> String {
    if curve.label.starts_with(curve.server) {
        curve.label.clone()
    } else {
        format!("{}, {}", curve.server, curve.label)
    }
}

/// Moves ascending rows apart so that neighbours have a distance of at least `gap` and none is below
/// `bottom`, if they fit.
fn spread(rows: &mut [i32], gap: i32, bottom: i32) {
    for index in 1..rows.len() {
        rows[index] = rows[index].max(rows[index - 1] + gap);
    }
    let mut limit = bottom;
    for row in rows.iter_mut().rev() {
        *row = (*row).min(limit);
        limit = *row - gap;
    }
}

/// Draws each predicted time range as a bar, and the observed time as a square (sync) or a circle (async) with
/// its number.
pub(super) fn findings(findings: &[Finding]) -> io::Result<String> {
    let times: Vec<(usize, &Finding)> = findings
        .iter()
        .enumerate()
        .filter(|(_, finding)| {
            finding.prediction.unit == Unit::Seconds && finding.observed.is_finite()
        })
        .collect();
    let longest = times.iter().map(|(_, finding)| {
        let high = finding.prediction.high;
        finding
            .observed
            .max(if high.is_finite() { high } else { 0.0 })
    });
    let longest = longest.fold(0.1, f64::max) * 1.3;
    let shortest = 1e-3;
    svg(times.len() as u32 * LINE + 60, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(NUMBERS)
            .x_label_area_size(40)
            .y_label_area_size(FINDING_LABELS)
            .build_cartesian_2d((shortest..longest).log_scale(), times.len() as f64..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc("predicted (bar) and observed (square: synchronous, circle: asynchronous)")
            .x_label_formatter(&|x| number::number(*x, Unit::Seconds))
            .draw()?;
        for (row, (index, finding)) in times.iter().enumerate() {
            let row = row as f64;
            let (low, high) = (
                finding.prediction.low.max(shortest),
                finding.prediction.high.min(longest),
            );
            let color = rgb(if finding.holds {
                palette::RUNNING
            } else {
                palette::BLOCKED
            });
            let bar = Rectangle::new(
                [(low, row + 0.2), (high, row + 0.8)],
                rgb(palette::AWAITING).mix(0.3).filled(),
            );
            chart.draw_series([bar])?;
            let observed = chart.backend_coord(&(finding.observed.max(shortest), row + 0.5));
            let (x, y) = observed;
            match finding.setting.server {
                "async" | "fastapi" => area.draw(&Circle::new(observed, 6, color.filled()))?,
                _ => {
                    let corners = [(x - 5, y - 5), (x + 5, y + 5)];
                    area.draw(&Rectangle::new(corners, color.filled()))?;
                }
            }
            let end = chart.backend_coord(&(high, row + 0.5)).0.max(x + 6);
            let text = number::number(finding.observed, Unit::Seconds);
            label(area, (end + 6, y), text)?;
            let text = format!(
                "row {}, {}: {}",
                index + 1,
                finding.setting.server,
                finding.prediction.quantity
            );
            let axis = chart.backend_coord(&(shortest, row + 0.5));
            label_left(area, axis, &text, FINDING_LABELS)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::report::CurvePoint;

    #[test]
    fn a_short_request_is_visible_and_has_its_latency_at_the_end() {
        let drawn = timeline(&Timeline {
            server: "async",
            seconds: 20.0,
            requests: vec![RequestBar {
                path: "/dummy".into(),
                latency_seconds: 0.006,
                at_seconds: 0.5,
                queued_seconds: 0.0,
                held_seconds: 0.0001,
                awaited_seconds: 0.0,
            }],
            threads: Vec::new(),
        });
        let drawn = drawn.unwrap();
        let width = |element: &str| -> Option<u32> {
            let rest = element.split("width=\"").nth(1)?;
            rest.split('"').next()?.parse().ok()
        };
        let bars = drawn
            .split('<')
            .filter(|element| element.starts_with("rect"));
        let widths: Vec<u32> = bars.filter_map(width).collect();
        assert_eq!(widths, [MIN_BAR as u32], "{drawn}");
        assert!(drawn.contains("6 ms"), "{drawn}");
    }

    #[test]
    fn curves_are_labelled_directly_and_told_apart_by_their_dashes() {
        let curve = |server, label: &str| Curve {
            server,
            label: label.into(),
            points: vec![
                CurvePoint {
                    quantile: 0.0,
                    seconds: 0.1,
                },
                CurvePoint {
                    quantile: 1.0,
                    seconds: 0.2,
                },
            ],
        };
        let drawn = |server| curves(&[curve(server, "5/s")]).unwrap();
        let lines = |drawn: &str| drawn.matches("<polyline").count();
        assert!(drawn("sync").contains("sync, 5/s") && drawn("async").contains("async, 5/s"));
        assert!(lines(&drawn("async")) > lines(&drawn("sync")) + 10);
    }

    #[test]
    fn labels_are_spread_within_the_plot() {
        let mut rows = [10, 10, 12, 90];
        spread(&mut rows, 17, 80);
        assert_eq!(rows, [10, 27, 44, 80]);
        let mut rows = [70, 75, 80];
        spread(&mut rows, 17, 80);
        assert_eq!(rows, [46, 63, 80]);
    }
}
