//! Plots, as SVG.

use std::io;

use anstyle::RgbColor;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::experiment::report::{Curve, Finding, RequestBar, Timeline, Unit};
use crate::experiment::reporter::number;
use crate::experiment::reporter::palette;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = Result<(), Box<dyn std::error::Error>>;

const WIDTH: u32 = 1100;
/// Height of one line of text or one bar.
const LINE: u32 = 26;
/// Width of the labels to the left of bars.
const LABELS: u32 = 470;
const FONT: (&str, u32) = ("sans-serif", 14);

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

/// Draws requests as bars over time, and the thread states below them.
pub(super) fn timeline(timeline: &Timeline) -> io::Result<String> {
    let rows = timeline.requests.len() as u32 + 1;
    svg(rows * LINE + 90, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(timeline.server, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..timeline.seconds, f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_y_axis()
            .x_desc("seconds")
            .draw()?;
        for (row, bar) in timeline.requests.iter().enumerate() {
            let row = row as f64;
            chart
                .draw_series(pieces(bar).map(|(from, to, colour)| block(row, from, to, colour)))?;
            label(area, chart.backend_coord(&(0.0, row + 0.5)), &bar.path, 80)?;
        }
        let row = timeline.requests.len() as f64;
        let starts =
            std::iter::once(0.0).chain(timeline.threads.iter().map(|slice| slice.until_seconds));
        let slices = timeline.threads.iter().zip(starts);
        chart.draw_series(slices.map(|(slice, from)| {
            block(row, from, slice.until_seconds, palette::state(slice.state))
        }))?;
        label(area, chart.backend_coord(&(0.0, row + 0.5)), "threads", 80)?;
        Ok(())
    })
}

/// Returns the parts of a request with their colours: waiting for a thread, holding it, waiting without it.
fn pieces(bar: &RequestBar) -> impl Iterator<Item = (f64, f64, RgbColor)> {
    let queued = bar.at_seconds + bar.queued_seconds;
    let held = queued + bar.held_seconds;
    [
        (bar.at_seconds, queued, palette::RUNNABLE),
        (queued, held, palette::BLOCKED),
        (held, held + bar.awaited_seconds, palette::AWAITING),
    ]
    .into_iter()
}

fn block(row: f64, from: f64, to: f64, colour: RgbColor) -> Rectangle<(f64, f64)> {
    Rectangle::new([(from, row + 0.15), (to, row + 0.85)], rgb(colour).filled())
}

/// Draws text `width` pixels to the left of `point`.
fn label(area: &Area<'_>, point: (i32, i32), text: &str, width: u32) -> DrawResult {
    let corner = (point.0 - width as i32, point.1 - 7);
    Ok(area.draw(&Text::new(text.to_owned(), corner, FONT))?)
}

/// Draws latency quantiles. The axis is logarithmic in 1 - quantile, so that 0.9, 0.99 and 0.999 are equally far apart.
pub(super) fn curves(curves: &[Curve]) -> io::Result<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let highest = points().map(|point| point.seconds).fold(0.01, f64::max) * 1.5;
    let lowest = points()
        .map(|point| point.seconds)
        .fold(highest, f64::min)
        .max(1e-4)
        / 1.5;
    svg(380, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((1.0..1000.0).log_scale(), (lowest..highest).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("quantile")
            .y_desc("latency from the scheduled send time")
            .x_labels(4)
            .y_labels(6)
            .max_light_lines(0)
            .x_label_formatter(&|x| format!("{}", 1.0 - 1.0 / x))
            .y_label_formatter(&|y| number::number(*y, Unit::Seconds))
            .draw()?;
        for (index, curve) in curves.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let line = curve.points.iter();
            let line = line.map(|point| {
                (
                    1.0 / (1.0 - point.quantile).max(1e-3),
                    point.seconds.max(lowest),
                )
            });
            chart
                .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
                .label(curve.label.clone())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        Ok(())
    })
}

/// Draws each predicted time range as a bar, and the observed time as a dot.
pub(super) fn findings(findings: &[Finding]) -> io::Result<String> {
    let times: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.prediction.unit == Unit::Seconds && finding.observed.is_finite())
        .collect();
    let longest = times
        .iter()
        .map(|finding| finding.observed.max(finite(finding.prediction.high)));
    let longest = longest.fold(0.1, f64::max) * 1.3;
    let shortest = 1e-3;
    svg(times.len() as u32 * LINE + 60, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(LABELS)
            .build_cartesian_2d((shortest..longest).log_scale(), times.len() as f64..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc("predicted (bar) and observed (dot)")
            .x_label_formatter(&|x| number::number(*x, Unit::Seconds))
            .draw()?;
        for (row, finding) in times.iter().enumerate() {
            let row = row as f64;
            let (low, high) = (
                finding.prediction.low.max(shortest),
                finding.prediction.high.min(longest),
            );
            let colour = if finding.holds {
                palette::RUNNING
            } else {
                palette::BLOCKED
            };
            let bar = Rectangle::new(
                [(low, row + 0.2), (high, row + 0.8)],
                rgb(palette::AWAITING).mix(0.3).filled(),
            );
            chart.draw_series([bar])?;
            let dot = (finding.observed.max(shortest), row + 0.5);
            chart.draw_series([Circle::new(dot, 5, rgb(colour).filled())])?;
            let text = format!(
                "{}, {}: {}",
                finding.setting.server, finding.setting.load, finding.prediction.quantity
            );
            label(
                area,
                chart.backend_coord(&(shortest, row + 0.5)),
                &text,
                LABELS,
            )?;
        }
        Ok(())
    })
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
