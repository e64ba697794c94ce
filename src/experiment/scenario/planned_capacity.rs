//! The experiment of a [`CapacityPlan`]: measures its loads beside the formula.

use crate::experiment::capacity_plan::{CapacityPlan, LOADS, SOURCE, latency, overloaded};
use crate::experiment::error::Error;
use crate::experiment::lab_client::{LabClient, Via};
use crate::experiment::latency_columns::{latency_cells, latency_columns};
use crate::experiment::load;
use crate::experiment::plural::plural;
use crate::experiment::report::{Column, DataTable, Prediction, Run, Unit};
use crate::experiment::schedule::Schedule;
use crate::experiment::simulated_queue::SimulatedQueue;
use crate::flavor::Flavor;

/// Runs the loads on the synchronous server, which must have the planned number of threads.
pub(super) async fn perform(
    plan: &CapacityPlan,
    lab: &LabClient,
    run: &mut Run,
) -> Result<(), Error> {
    run.notes.push(plan.advice());
    let threads = lab.scrape().await?.threads(Flavor::Sync);
    if threads != plan.threads {
        return Err(Error::NotHere(format!(
            "the synchronous server has {}; to measure the plan, start the lab with `threadlab --threads {}`",
            plural(threads, "thread"),
            plan.threads
        )));
    }
    let mut table = DataTable {
        title: format!(
            "Latency by load: {}, each request holds one for {} s",
            plural(plan.threads, "thread"),
            plan.wait.as_secs_f64()
        ),
        source: SOURCE,
        columns: columns(),
        rows: Vec::new(),
    };
    for percent in LOADS {
        lab.show_step(&format!("sync: {percent} % load"));
        table.rows.push(measure(plan, percent, lab, run).await?);
    }
    run.tables.push(table);
    Ok(())
}

fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("load, %", Unit::Count),
        Column::new("rate", Unit::PerSecond),
    ];
    columns.extend(latency_columns());
    columns
}

/// Runs one load and returns its row of the table.
async fn measure(
    plan: &CapacityPlan,
    percent: f64,
    lab: &LabClient,
    run: &mut Run,
) -> Result<Vec<f64>, Error> {
    let share = percent / 100.0;
    let rate = plan.capacity() * share;
    let length = plan.length(rate, lab.wait);
    let schedule = Schedule::poisson(rate, length);
    let path = format!("/?seconds={}", plan.wait.as_secs_f64());
    let result = load::run(lab, (Flavor::Sync, Via::Front), &path, &schedule, length).await;
    lab.wait_until_quiet().await?;

    let p99 = SimulatedQueue::new(&schedule, plan.threads, plan.wait).latency(0.99);
    let what = format!(
        "{percent:.0} %: {rate:.1}/s for {:.1} s",
        length.as_secs_f64()
    );
    let setting = lab.setting(Flavor::Sync, Via::Front, plan.threads, plan.wait, what);
    run.judge(
        &setting,
        Prediction::between(
            "p99",
            Unit::Seconds,
            p99 * 0.8,
            p99 * 1.4 + 0.25,
            "p99 of a simulated queue with the same send times; tolerance -20 %, +40 % and 0.25 s, because each request \
             also costs CPU time",
        ),
        result.latency(0.99),
    );
    run.curves
        .push(result.curve(Flavor::Sync, format!("{percent:.0} % load")));
    let offered = plan.threads as f64 * share;
    let formula = |quantile| {
        if share < 1.0 {
            latency(plan.threads, offered, plan.wait, quantile)
        } else {
            overloaded(share, plan.wait, length, quantile)
        }
    };
    let mut row = vec![percent, rate];
    row.extend(latency_cells(formula, &result));
    Ok(row)
}
