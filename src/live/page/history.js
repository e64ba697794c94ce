// The last minute of one server, put together from its events.
//
// The format of the events is documented in src/live/event.rs. Times are in milliseconds of the
// server's clock; the time in each state is in seconds.

import { STATES } from "./states.js";

/** Length of the time that is shown, in milliseconds. */
export const WINDOW = 60_000;

/** Delay of the display behind the latest data, in milliseconds, so that it moves evenly. */
const DELAY = 150;

/** Maximum number of requests kept: there is no room to show more. */
const MAX_REQUESTS = 500;

/** Share from which a stretch of time counts as spent in one state only. */
const PURE = 0.98;

/** Share of a stretch of which the states are known, below which the rest of it counts as not known. */
const KNOWN = 0.5;

/**
 * Returns the seconds of which the states of a stretch are parts. They are less than its length where the server has not
 * decided yet in which state a thread was: what was decided until then would look as if it had taken all of that time.
 */
export function secondsOf({ from, to, grown }) {
  const known = grown.reduce((sum, part) => sum + part, 0);
  const length = (to - from) / 1000;
  return known < KNOWN * length ? length : known;
}

/** The last minute of one thread. */
class ThreadHistory {
  /** Seconds in each state since the thread started; `null` before the first event. */
  totals = null;
  /** Name of the present state; `null` once the thread has ended. */
  state = null;
  /** Seconds for which it has been in this state. */
  since = 0;
  /** What a blocked thread waits for; `undefined` if it is not known. */
  on = undefined;
  /** Stretches `{from, to, grown, pure}`, the oldest first; `pure` is the index of the only state, or -1. */
  stretches = [];

  constructor(name) {
    this.name = name;
  }

  /** Adds the stretch from `from` to `to`, up to which the thread has spent `totals` seconds in each state. */
  add(from, to, totals) {
    const grown = totals.map((total, i) => total - (this.totals?.[i] ?? 0));
    this.totals = totals;
    if (to <= from) return;
    const all = secondsOf({ from, to, grown });
    const pure = grown.findIndex((part) => part >= PURE * all && part > 0);
    const last = this.stretches.at(-1);
    if (last && pure >= 0 && last.pure === pure && last.to === from) {
      last.to = to;
      grown.forEach((part, i) => { last.grown[i] += part; });
    } else {
      this.stretches.push({ from, to, grown, pure });
    }
  }

  /** Replaces everything by what the server has recorded, `[time, seconds in each state…]`, the oldest first. */
  restore(moments) {
    this.totals = null;
    this.stretches = [];
    let before = moments[0][0];
    for (const [at, ...totals] of moments) {
      this.add(before, at, totals);
      before = at;
    }
    return before;
  }

  forget(before) {
    const kept = this.stretches.findIndex(({ to }) => to > before);
    this.stretches.splice(0, kept < 0 ? this.stretches.length : kept);
  }

  /** Returns the share of each state in the time since `since`; all 0 if nothing is known. */
  shares(since) {
    const sums = STATES.map(() => 0);
    for (const { from, to, grown } of this.stretches) {
      const part = Math.min(1, (to - since) / (to - from));
      if (part > 0) grown.forEach((time, i) => { sums[i] += part * time; });
    }
    const all = sums.reduce((sum, time) => sum + time, 0);
    return sums.map((time) => (all > 0 ? time / all : 0));
  }
}

/** The last minute of one server. */
export class History {
  threads = [];
  /** Number of servers that share the name of this one and its requests; only this one is shown. */
  replicas = 1;
  /** Name of this replica; `null` if it has none. */
  replica = null;
  /** Requests by number. */
  requests = new Map();
  active = 0;
  queue = null;
  /** Maximum number of requests that the server keeps for new viewers. */
  maxRequests = Infinity;
  /** Time from which on everything is kept, even if it is older than the window; `null` without such a time. */
  keepFrom = null;
  /** Share of the last 10 s in which a thread of the machine waited for a CPU; `null` if it is not known. */
  cpuPressure = null;
  /** For each connection in the accept queue the time since when it is known to wait; the oldest first. */
  queuedSince = [];
  #began = null;
  #last = null;
  #offsets = [];

  /** Adds an event that arrived at `at` of the page's clock. Returns whether the server has been restarted. */
  apply(event, at) {
    const restarted = event.began !== this.#began;
    if (restarted) this.#restart(event.began);
    this.#synchronise(event.now, at);
    this.#addThreads(event);
    for (const request of event.requests) this.requests.set(request.number, request);
    this.active = event.active_requests;
    this.replicas = event.replicas ?? this.replicas;
    this.replica = event.replica ?? this.replica;
    this.maxRequests = event.max_requests;
    this.cpuPressure = event.cpu_pressure ?? null;
    this.queue = event.accept_queue;
    this.#addQueue(event);
    this.#last = event.now;
    this.#forget(Math.min(event.now - WINDOW - 1000, this.keepFrom ?? Infinity));
    return restarted;
  }

  /** Returns the server's time for `at` of the page's clock; `null` before the first event. */
  serverTime(at) {
    return this.#last === null ? null : at - Math.min(...this.#offsets);
  }

  /** Returns the time at the right edge of the display at `at`. */
  edge(at) {
    const now = this.serverTime(at);
    return now === null ? null : now - DELAY;
  }

  /** Returns the milliseconds for which the states of the threads are known, at most the whole window. */
  known() {
    const first = this.threads[0]?.stretches[0];
    return first ? Math.min(WINDOW, this.#last - first.from) : 0;
  }

  /** Returns a copy of what is known of the time from `from` to `to`. */
  copy(from, to) {
    const threads = this.threads.map(({ name, stretches }) => ({
      name,
      stretches: stretches.filter((stretch) => stretch.to > from && stretch.from < to).map((stretch) => ({ ...stretch })),
    }));
    const requests = [...this.requests.values()].filter(({ arrived, ended }) => arrived < to && !(ended < from));
    return { threads, requests };
  }

  /** Returns the share of each state in the window, for one thread. */
  shares(thread) {
    return thread.shares(this.#last - WINDOW);
  }

  /** Starts again with nothing. */
  #restart(began) {
    this.#began = began;
    this.#last = null;
    this.threads = [];
    this.requests.clear();
    this.queuedSince = [];
    this.#offsets = [];
  }

  /** The first event of a connection has the last minute; after any other gap, the whole gap becomes one stretch. */
  #addThreads({ threads: readings, history, now }) {
    for (const { thread: name, state, state_seconds: since, on, seconds } of readings) {
      let thread = this.threads.find((known) => known.name === name);
      if (!thread) {
        thread = new ThreadHistory(name);
        this.threads.push(thread);
      }
      thread.state = state;
      thread.since = since;
      thread.on = on;
      const before = history?.[name] ? thread.restore(history[name]) : this.#last ?? now;
      thread.add(before, now, STATES.map((known) => seconds[known.name]));
    }
  }

  /** The least delay of the last events is the best estimate of the difference between the clocks. */
  #synchronise(now, at) {
    this.#offsets.push(at - now);
    if (this.#offsets.length > 50) this.#offsets.shift();
  }

  /** First in, first out: a connection that has left the queue was the oldest. */
  #addQueue({ accept_queue: queue, request_queue: requests, now }) {
    const length = queue?.length ?? 0;
    const gone = this.queuedSince.length - length;
    if (gone > 0) this.queuedSince.splice(0, gone);
    // The first one may have waited before this page was opened. If others wait unread, one of them may be the oldest.
    if (this.queuedSince.length === 0 && length > 0 && requests?.socket === 0) {
      this.queuedSince.push(now - 1000 * (requests.oldest_seconds ?? 0));
    }
    while (this.queuedSince.length < length) this.queuedSince.push(now);
  }

  #forget(before) {
    for (const thread of this.threads) thread.forget(before);
    for (const [number, { ended }] of this.requests) {
      const tooMany = ended !== undefined && this.requests.size > MAX_REQUESTS;
      if (tooMany || ended < before) this.requests.delete(number);
    }
  }
}
