//! `threadlab experiment NAME --guess`: asks the learner for predictions before the run and scores them after it.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use crate::experiment::report::{Finding, Report, Unit};
use crate::experiment::{Experiment, GuessQuestion};

/// A guess farther than this from the measurement, relative to it, is wrong, unless both are in the predicted range.
const TOLERANCE: f64 = 0.25;

/// A number that the learner entered.
#[derive(Debug)]
pub(super) struct Guess {
    experiment: &'static str,
    question: &'static GuessQuestion,
    number: f64,
}

/// Asks for a number for each question of the experiments. An empty line skips a question, the end of the input
/// skips all that are left.
///
/// # Errors
///
/// If reading or writing fails.
pub(super) fn ask(
    experiments: &[&'static Experiment],
    wait: Duration,
    from: &mut dyn BufRead,
    to: &mut dyn Write,
) -> io::Result<Vec<Guess>> {
    let mut guesses = Vec::new();
    for experiment in experiments {
        writeln!(to, "{}: {}", experiment.name, experiment.question)?;
        for question in experiment.guesses {
            let Some(number) = ask_one(&(question.text)(wait), from, to)? else {
                continue;
            };
            guesses.push(Guess {
                experiment: experiment.name,
                question,
                number,
            });
        }
    }
    writeln!(to)?;
    Ok(guesses)
}

fn ask_one(text: &str, from: &mut dyn BufRead, to: &mut dyn Write) -> io::Result<Option<f64>> {
    loop {
        write!(to, "  {text} ")?;
        to.flush()?;
        let mut line = String::new();
        let read = from.read_line(&mut line)?;
        let answer = line.trim().trim_end_matches('s').trim_end();
        match answer.parse::<f64>() {
            _ if read == 0 || answer.is_empty() => return Ok(None),
            Ok(number) if number.is_finite() && number >= 0.0 => return Ok(Some(number)),
            _ => writeln!(
                to,
                "  please enter a number of at least 0, such as 0.5, or nothing to skip"
            )?,
        }
    }
}

/// Writes each guess beside its measurement, and the number of right ones.
///
/// # Errors
///
/// If writing fails.
pub(super) fn score(guesses: &[Guess], report: &Report, to: &mut dyn Write) -> io::Result<()> {
    let (mut right, mut scored) = (0, 0);
    for guess in guesses {
        let run = report.runs.iter().find(|run| run.name == guess.experiment);
        let finding = run.and_then(|run| guess.question.finding(&run.findings));
        let Some(finding) = finding.filter(|finding| finding.observed.is_finite()) else {
            continue;
        };
        let is_right = is_right(guess.number, finding);
        (right, scored) = (right + u32::from(is_right), scored + 1);
        let unit = if finding.prediction.unit == Unit::Seconds {
            " s"
        } else {
            ""
        };
        writeln!(
            to,
            "{}, {}, {}: you guessed {}{unit}, observed {:.3}{unit}: {}",
            guess.experiment,
            finding.setting.server,
            finding.prediction.quantity,
            guess.number,
            finding.observed,
            if is_right { "right" } else { "wrong" }
        )?;
    }
    if scored > 0 {
        writeln!(to, "{right} of {scored} right")?;
    }
    Ok(())
}

fn is_right(guess: f64, finding: &Finding) -> bool {
    let (low, high) = (finding.prediction.low, finding.prediction.high);
    let as_predicted = finding.holds && (low..=high).contains(&guess);
    as_predicted || (guess - finding.observed).abs() <= TOLERANCE * finding.observed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ALL;

    fn guess(input: &str) -> (Vec<Guess>, String) {
        let mut output = Vec::new();
        let wait = Duration::from_secs(20);
        let guesses = ask(&[&ALL[0]], wait, &mut input.as_bytes(), &mut output).unwrap();
        (guesses, String::from_utf8(output).unwrap())
    }

    #[test]
    fn questions_state_the_wait_and_bad_input_is_asked_for_again() {
        let (guesses, text) = guess("soon\n19.5 s\n0\n");
        assert!(text.contains("/ waits 20.0 s"), "{text}");
        assert!(text.contains("please enter a number"), "{text}");
        let numbers: Vec<f64> = guesses.iter().map(|guess| guess.number).collect();
        assert_eq!(numbers, [19.5, 0.0]);
    }

    #[test]
    fn empty_lines_and_the_end_of_input_skip_questions() {
        assert_eq!(guess("\n3\n").0.len(), 1);
        assert!(guess("").0.is_empty());
    }
}
