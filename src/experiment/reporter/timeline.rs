//! Requests over time, in Unicode blocks.

use std::io::{self, Write};

use super::palette::{self, Colour};
use crate::experiment::report::{Bar, Timeline};

/// Characters of a timeline.
const WIDTH: usize = 60;

/// A character and its colour.
type Ink = (char, Option<Colour>);

const NOTHING: Ink = (' ', None);
const QUEUED: Ink = ('░', Some(palette::RUNNABLE));
const HELD: Ink = ('█', Some(palette::BLOCKED));
const AWAITED: Ink = ('▒', Some(palette::AWAITING));
/// A request that is over before the next character.
const MOMENT: Ink = ('│', None);

/// Draws the requests and under them what the server's threads did.
pub(super) fn write(timeline: &Timeline, colour: bool, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "  {} over {:.1} s", timeline.server, timeline.seconds)?;
    for bar in &timeline.requests {
        let mut drawn = draw(timeline.seconds, |at| request(bar, at));
        if drawn.iter().all(|ink| *ink == NOTHING) {
            let at = bar.at_seconds / timeline.seconds * WIDTH as f64;
            drawn[(at as usize).min(WIDTH - 1)] = MOMENT;
        }
        let end = bar.at_seconds + bar.queued_seconds + bar.held_seconds + bar.awaited_seconds;
        writeln!(to, "  {:>8} {} {end:.1} s", bar.path, paint(&drawn, colour))?;
    }
    let threads = draw(timeline.seconds, |at| thread(timeline, at));
    writeln!(to, "  {:>8} {}", "threads", paint(&threads, colour))?;
    let legend = [
        (QUEUED, "waits for a thread"),
        (HELD, "holds a thread (blocked)"),
        (AWAITED, "waits without one (awaiting)"),
        (state("running"), "running"),
        (state("idle"), "idle"),
    ];
    let legend = legend.map(|(ink, what)| format!("{} {what}", paint(&[ink], colour)));
    writeln!(to, "  {:>8} {}\n", "", legend.join("  "))
}

/// What is at the middle of each character.
fn draw(seconds: f64, ink: impl Fn(f64) -> Ink) -> Vec<Ink> {
    let step = seconds / WIDTH as f64;
    (0..WIDTH).map(|i| ink(step * (i as f64 + 0.5))).collect()
}

fn request(bar: &Bar, at: f64) -> Ink {
    let since = at - bar.at_seconds;
    let held = bar.queued_seconds + bar.held_seconds;
    match since {
        since if since < 0.0 => NOTHING,
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

fn paint(inks: &[Ink], colour: bool) -> String {
    let painted = |(character, ink): &Ink| match ink {
        Some((red, green, blue)) if colour => {
            format!("\x1b[38;2;{red};{green};{blue}m{character}\x1b[0m")
        }
        _ => character.to_string(),
    };
    inks.iter().map(painted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::report::Slice;

    #[test]
    fn draws_who_waits_for_whom() {
        let bar = |path: &str, at_seconds, queued_seconds, held_seconds| Bar {
            path: path.into(),
            at_seconds,
            queued_seconds,
            held_seconds,
            awaited_seconds: 0.0,
        };
        let timeline = Timeline {
            server: "sync",
            seconds: 4.0,
            requests: vec![bar("/", 0.0, 0.0, 4.0), bar("/dummy", 1.0, 3.0, 0.0)],
            threads: vec![Slice {
                until_seconds: 2.0,
                state: "blocked",
            }],
        };
        let mut text = Vec::new();
        write(&timeline, false, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("         / {} 4.0 s", "█".repeat(60)));
        assert_eq!(
            lines[2],
            format!("    /dummy {}{} 4.0 s", " ".repeat(15), "░".repeat(45))
        );
        assert_eq!(
            lines[3],
            format!("   threads {}{}", "█".repeat(30), " ".repeat(30))
        );
        assert!(!text.contains('\x1b'));
    }
}
