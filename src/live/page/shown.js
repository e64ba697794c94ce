// The time that the page shows: the last minute, or the latest run of the experiment from its start on.

import { WINDOW } from "./history.js";

/** Milliseconds of a run that are shown after its wait. */
const AFTER = 2000;

/** Milliseconds for which the result stays before the page shows the last minute again. */
const STAY = 10_000;

/** The latest run, and whether it is shown. */
export class Shown {
  /** `{startedAt, span, endedAt}` in milliseconds of the page's clock; `null` before the first run. */
  run = null;
  #isRun = false;
  #byHand = false;

  /** Begins a run that waits for so many milliseconds, and shows it. */
  begin(at, wait) {
    this.run = { startedAt: at, span: wait + AFTER, endedAt: null };
    this.#isRun = true;
    this.#byHand = false;
  }

  end(at) {
    this.run.endedAt = at;
  }

  /** Shows the run or the last minute, until the next run begins. */
  choose(isRun) {
    this.#isRun = isRun;
    this.#byHand = true;
  }

  /** Returns the run if it is shown at `at`, else `null`. A run that takes longer than its time gets more. */
  at(at) {
    const { run } = this;
    if (!this.#isRun) return null;
    if (run.endedAt === null) {
      while (at - run.startedAt > run.span) run.span *= 1.25;
    } else if (!this.#byHand && at > run.endedAt + STAY) {
      this.#isRun = false;
      return null;
    }
    return run;
  }
}

/** Returns the labels of the time axis, `{at, text}`: `at` is a share of the lane. */
export function axis(run) {
  if (!run) return ["60 s ago", "45", "30", "15", "now"].map((text, i) => ({ at: i / 4, text }));
  const seconds = run.span / 1000;
  const step = [1, 2, 5, 10, 20, 50].find((size) => seconds / size <= 8) ?? 100;
  const labels = [];
  for (let second = 0; second <= seconds; second += step) labels.push({ at: second / seconds, text: `${second} s` });
  return labels;
}

/** Returns the milliseconds that the page shows. */
export function span(run) {
  return run ? run.span : WINDOW;
}
