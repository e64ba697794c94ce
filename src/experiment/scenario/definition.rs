//! Definition of an experiment.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::experiment::config::RunConfig;
use crate::experiment::error::Error;
use crate::experiment::lab_client::LabClient;
use crate::experiment::report::{Finding, Run};
use crate::flavor::Flavor;

/// An experiment of the course.
#[derive(Debug)]
pub struct Experiment {
    /// Name on the command line. `docs/labs/NAME.md` is its page.
    pub name: &'static str,
    /// Question that it asks.
    pub question: &'static str,
    /// Model from which its predictions follow.
    pub model: &'static str,
    /// Questions whose answers a learner can guess before the run.
    pub guesses: &'static [GuessQuestion],
    /// Returns the expected duration with a configuration.
    pub(in crate::experiment) duration: fn(&RunConfig) -> Duration,
    /// Runs the experiment and adds its findings to the run.
    pub(in crate::experiment) perform: Perform,
}

/// A question about a finding.
#[derive(Debug)]
pub struct GuessQuestion {
    /// Server of the finding.
    pub server: Flavor,
    /// Quantity of the finding.
    pub quantity: &'static str,
    /// Part of the finding's load, or its route. Among several matching findings the last one counts.
    pub conditions: &'static str,
    /// Returns the question for a given wait of the article's `/`.
    pub text: fn(wait: Duration) -> String,
}

impl GuessQuestion {
    /// Returns the finding that the question is about.
    #[must_use]
    pub fn finding<'a>(&self, findings: &'a [Finding]) -> Option<&'a Finding> {
        findings.iter().rfind(|finding| {
            let setting = &finding.setting;
            setting.server == self.server.as_str()
                && finding.prediction.quantity == self.quantity
                && (setting.load.contains(self.conditions) || setting.via == self.conditions)
        })
    }
}

type Perform = for<'a> fn(&'a LabClient, &'a mut Run) -> LocalBoxFuture<'a, Result<(), Error>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{ALL, LabAddresses, LabServer};

    fn planned(name: &str, servers: &[LabServer]) -> f64 {
        let config = RunConfig {
            addresses: LabAddresses {
                front: String::new(),
                metrics: Vec::new(),
                watchers: Vec::new(),
                sync: String::new(),
                r#async: String::new(),
            },
            wait: Duration::from_secs(20),
            servers: servers.to_vec(),
            plan: None,
        };
        let experiment = ALL.iter().find(|experiment| experiment.name == name);
        (experiment.unwrap().duration)(&config).as_secs_f64()
    }

    #[test]
    fn experiments_that_take_the_servers_in_turn_plan_time_for_each() {
        let own = &LabServer::OWN[..];
        let all = [own, &[LabServer::Fastapi, LabServer::Gthread]].concat();
        assert_eq!(planned("article", own), planned("article", &all));
        assert_eq!(planned("matrix", own), 16.0);
        // The watcher of a program is 0.3 s behind it, in each of four cells.
        assert_eq!(planned("matrix", &all), 32.0 + 8.0 * 0.3);
        // Queries of 2 s. The synchronous server takes 5 in turn for each of three handlers. The asynchronous server does
        // so for one, and runs 4 of 5 together for the others.
        assert_eq!(planned("drivers", own), 2.0 * (15.0 + 9.0));
        // FastAPI has the same handlers. Flask has one, and gthread runs its 4 queries together.
        let queries = 2.0 * (15.0 + 9.0 + 9.0 + 2.0);
        assert_eq!(planned("drivers", &all), queries + 4.0 * 0.3);
    }
}
