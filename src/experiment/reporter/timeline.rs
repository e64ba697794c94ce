//! Requests and thread states over time, drawn with Unicode block characters.

use std::fmt::Write;

use anstyle::{RgbColor, Style};

use super::number::number;
use super::palette::{self, styled};
use crate::experiment::report::{RequestBar, Timeline, Unit};

/// Characters of a timeline.
const WIDTH: usize = 60;

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

/// Draws the requests, and below them the states of the server's threads, with ANSI colours.
pub(super) fn draw(timeline: &Timeline) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_to(&mut text, timeline);
    text
}

fn write_to(to: &mut String, timeline: &Timeline) -> std::fmt::Result {
    writeln!(to, "  {} over {:.1} s", timeline.server, timeline.seconds)?;
    for bar in &timeline.requests {
        let mut drawn = sample(timeline.seconds, |at| request(bar, at));
        if drawn.iter().all(|ink| *ink == NOTHING) {
            let at = bar.at_seconds / timeline.seconds * WIDTH as f64;
            drawn[(at as usize).min(WIDTH - 1)] = MOMENT;
        }
        let latency = number(bar.latency_seconds, Unit::Seconds);
        writeln!(to, "  {:>8} {} {latency}", bar.path, paint(&drawn))?;
    }
    let threads = sample(timeline.seconds, |at| thread(timeline, at));
    writeln!(to, "  {:>8} {}", "threads", paint(&threads))?;
    let untimed = timeline.requests.iter().any(|bar| !bar.is_timed());
    let legend = [
        (QUEUED, "waits for a thread"),
        (HELD, "holds a thread (blocked)"),
        (AWAITED, "waits without a thread (awaiting)"),
        (state("running"), "running"),
        (state("idle"), "idle"),
    ];
    let untimed = untimed.then_some((UNTIMED, "in flight, no more is known"));
    let legend = legend.into_iter().chain(untimed);
    let legend = legend.map(|(ink, meaning)| format!("{} {meaning}", paint(&[ink])));
    let legend: Vec<String> = legend.collect();
    writeln!(to, "  {:>8} {}\n", "", legend.join("  "))
}

/// Draws the states of a server's threads over `seconds` in one line. Each state lasts until its time.
pub(in crate::experiment) fn lane(seconds: f64, states: &[(f64, &'static str)]) -> String {
    let drawn = sample(seconds, |at| {
        let next = states.iter().find(|(until, _)| at <= *until);
        next.map_or(NOTHING, |(_, name)| state(name))
    });
    paint(&drawn)
}

/// Samples `ink` at the middle of each character.
fn sample(seconds: f64, ink: impl Fn(f64) -> Ink) -> Vec<Ink> {
    let step = seconds / WIDTH as f64;
    (0..WIDTH).map(|i| ink(step * (i as f64 + 0.5))).collect()
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

fn thread(timeline: &Timeline, at: f64) -> Ink {
    let slice = timeline
        .threads
        .iter()
        .find(|slice| at <= slice.until_seconds);
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
    use crate::experiment::report::StateSlice;

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
        let text = strip_str(&draw(&timeline)).to_string();
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
        let text = strip_str(&draw(&timeline)).to_string();
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
        let text = strip_str(&draw(&timeline)).to_string();
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
    fn lane_shows_each_state_until_its_time() {
        let drawn = lane(60.0, &[(15.0, "idle"), (45.0, "blocked")]);
        let expected = format!("{}{}{}", "·".repeat(15), "█".repeat(30), " ".repeat(15));
        assert_eq!(strip_str(&drawn).to_string(), expected);
    }
}
