//! Requests and thread states over time, drawn with Unicode block characters.

use std::fmt::Write;

use anstyle::{RgbColor, Style};

use super::number::number;
use super::palette::{self, styled};
use crate::experiment::report::{RequestBar, StateSlice, Timeline, Unit};

/// Characters of a timeline, at most and at least.
const WIDTHS: std::ops::RangeInclusive<usize> = 10..=60;
/// Characters before and after it: the indentation and the path, and the latency.
const BESIDE: usize = 11 + 8;

/// A character and its colour.
type Ink = (char, Option<RgbColor>);

const NOTHING: Ink = (' ', None);
const QUEUED: Ink = ('░', Some(palette::RUNNABLE));
const HELD: Ink = ('█', Some(palette::BLOCKED));
const AWAITED: Ink = ('▒', Some(palette::AWAITING));
/// A request of which only the latency is known: the server sends no `Server-Timing`.
const UNTIMED: Ink = ('─', None);
/// A request that is shorter than one character.
const MOMENT: Ink = ('│', None);

/// Draws the requests, and below them the states of the server's threads, with ANSI colours, in lines of at most
/// `columns` characters if they are not fewer than 50.
pub(super) fn draw(timeline: &Timeline, columns: usize) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_to(&mut text, timeline, columns);
    text
}

fn write_to(to: &mut String, timeline: &Timeline, columns: usize) -> std::fmt::Result {
    let width = width(columns.saturating_sub(BESIDE));
    writeln!(to, "  {} over {:.1} s", timeline.server, timeline.seconds)?;
    for bar in &timeline.requests {
        let mut drawn = sample(timeline.seconds, width, |at| request(bar, at));
        if drawn.iter().all(|ink| *ink == NOTHING) {
            let at = bar.at_seconds / timeline.seconds * width as f64;
            drawn[(at as usize).min(width - 1)] = MOMENT;
        }
        let latency = number(bar.latency_seconds, Unit::Seconds);
        writeln!(to, "  {:>8} {} {latency}", bar.path, paint(&drawn))?;
    }
    let threads = sample(timeline.seconds, width, |at| thread(&timeline.threads, at));
    writeln!(to, "  {:>8} {}", "threads", paint(&threads))?;
    let untimed = timeline.requests.iter().any(|bar| !bar.is_timed());
    let legend = [
        (QUEUED, "waits for a thread"),
        (HELD, "holds a thread (blocked)"),
        (AWAITED, "waits without a thread (awaiting)"),
        (state("running"), "running"),
        (state("runnable"), "runnable"),
        (state("idle"), "idle"),
    ];
    let untimed = untimed.then_some((UNTIMED, "in flight, no more is known"));
    let legend = legend.into_iter().chain(untimed);
    write!(to, "{:9}", "")?;
    let mut column = 9;
    for (ink, meaning) in legend {
        let length = 4 + meaning.chars().count();
        if column > 9 && column + length > columns {
            write!(to, "\n{:9}", "")?;
            column = 9;
        }
        write!(to, "  {} {meaning}", paint(&[ink]))?;
        column += length;
    }
    writeln!(to, "\n")
}

fn width(columns: usize) -> usize {
    columns.clamp(*WIDTHS.start(), *WIDTHS.end())
}

/// Draws the states of a server's threads over `seconds` in one line, of at most `columns` characters if they are not
/// fewer than 10.
pub(in crate::experiment) fn lane(seconds: f64, slices: &[StateSlice], columns: usize) -> String {
    paint(&sample(seconds, width(columns), |at| thread(slices, at)))
}

/// Samples `ink` at the middle of each character.
fn sample(seconds: f64, width: usize, ink: impl Fn(f64) -> Ink) -> Vec<Ink> {
    let step = seconds / width as f64;
    (0..width).map(|i| ink(step * (i as f64 + 0.5))).collect()
}

fn request(bar: &RequestBar, at: f64) -> Ink {
    let since = at - bar.at_seconds;
    let held = bar.queued_seconds + bar.held_seconds;
    match since {
        since if since < 0.0 => NOTHING,
        since if !bar.is_timed() && since < bar.latency_seconds => UNTIMED,
        since if since < bar.queued_seconds => QUEUED,
        since if since < held => HELD,
        since if since < held + bar.awaited_seconds => AWAITED,
        _ => NOTHING,
    }
}

fn thread(slices: &[StateSlice], at: f64) -> Ink {
    let slice = slices.iter().find(|slice| at <= slice.until_seconds);
    slice.map_or(NOTHING, |slice| state(slice.state))
}

fn state(name: &str) -> Ink {
    let character = match name {
        "running" => '▓',
        "runnable" => '▚',
        "blocked" => HELD.0,
        "awaiting" => AWAITED.0,
        _ => '·',
    };
    (character, Some(palette::state(name)))
}

fn paint(inks: &[Ink]) -> String {
    let painted = |(character, colour): &Ink| match colour {
        Some(colour) => styled(Style::new().fg_color(Some((*colour).into())), character),
        None => character.to_string(),
    };
    inks.iter().map(painted).collect()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn draws_queueing_and_holding_of_a_thread() {
        let bar = |path: &str, at_seconds, queued_seconds, held_seconds| RequestBar {
            path: path.into(),
            latency_seconds: queued_seconds + held_seconds,
            at_seconds,
            queued_seconds,
            held_seconds,
            awaited_seconds: 0.0,
        };
        let timeline = Timeline {
            server: "sync",
            seconds: 4.0,
            requests: vec![bar("/", 0.0, 0.0, 4.0), bar("/dummy", 1.0, 3.0, 0.0)],
            threads: vec![StateSlice {
                until_seconds: 2.0,
                state: "blocked",
            }],
        };
        let text = strip_str(&draw(&timeline, 100)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("         / {} 4.00 s", "█".repeat(60)));
        assert_eq!(
            lines[2],
            format!("    /dummy {}{} 3.00 s", " ".repeat(15), "░".repeat(45))
        );
        assert_eq!(
            lines[3],
            format!("   threads {}{}", "█".repeat(30), " ".repeat(30))
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn prints_the_latency_of_a_request_too_short_to_draw() {
        let timeline = Timeline {
            server: "async",
            seconds: 20.0,
            requests: vec![RequestBar {
                path: "/dummy".into(),
                latency_seconds: 0.006,
                at_seconds: 0.4,
                queued_seconds: 0.0,
                held_seconds: 0.0001,
                awaited_seconds: 0.0,
            }],
            threads: Vec::new(),
        };
        let text = strip_str(&draw(&timeline, 100)).to_string();
        assert!(text.contains("│") && text.contains(" 6 ms\n"), "{text}");
    }

    #[test]
    fn draws_a_request_without_server_timing_as_in_flight() {
        let timeline = Timeline {
            server: "flask",
            seconds: 4.0,
            requests: vec![RequestBar {
                path: "/".into(),
                latency_seconds: 2.0,
                at_seconds: 1.0,
                queued_seconds: 0.0,
                held_seconds: 0.0,
                awaited_seconds: 0.0,
            }],
            threads: Vec::new(),
        };
        let text = strip_str(&draw(&timeline, 100)).to_string();
        let bar = format!(
            "{}{}{} 2.00 s",
            " ".repeat(15),
            "─".repeat(30),
            " ".repeat(15)
        );
        assert!(text.contains(&bar), "{text}");
        assert!(text.contains("─ in flight, no more is known"), "{text}");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide_and_the_legend_has_every_state() {
        let timeline = Timeline {
            server: "sync",
            seconds: 20.0,
            requests: vec![RequestBar {
                path: "/dummy".into(),
                latency_seconds: 19.5,
                at_seconds: 0.5,
                queued_seconds: 19.5,
                held_seconds: 0.0,
                awaited_seconds: 0.0,
            }],
            threads: Vec::new(),
        };
        for columns in [50, 80, 99, 120] {
            let text = strip_str(&draw(&timeline, columns)).to_string();
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(columns), "{columns}: {text}");
            for state in ["running", "▚ runnable", "(blocked)", "(awaiting)", "idle"] {
                assert!(text.contains(state), "{columns}: {state}: {text}");
            }
        }
    }

    #[test]
    fn lane_shows_each_state_until_its_time() {
        let states = [(15.0, "idle"), (45.0, "blocked")].map(|(until_seconds, state)| StateSlice {
            until_seconds,
            state,
        });
        let drawn = lane(60.0, &states, 200);
        let expected = format!("{}{}{}", "·".repeat(15), "█".repeat(30), " ".repeat(15));
        assert_eq!(strip_str(&drawn).to_string(), expected);
        let drawn = strip_str(&lane(60.0, &states, 20)).to_string();
        assert_eq!(
            drawn,
            format!("{}{}{}", "·".repeat(5), "█".repeat(10), " ".repeat(5))
        );
    }
}
