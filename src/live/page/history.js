// What is known of one server's last minute, put together from its events.
//
// An event tells what is new since the one before; the first of a stream tells all, as if it had
// been new since the server began:
//   {"now": 5000.1, "server": "sync", "began": 1000.2, "most_requests": 256,
//    "active_requests": 1, "accept_queue": {"length": 0, "limit": 128}, "replicas": 1,
//    "links": [{"name": "Grafana", "url": "http://127.0.0.1:3000"}],
//    "threads": [{"thread": "0", "state": "blocked", "running": 81, "blocked": 99919}],
//    "requests": [{"number": 7, "route": "/", "thread": 0, "mark": "00000000000000ab",
//                  "arrived": 4000.1, "started": 4000.4, "awaits": true}]}
// Times are in milliseconds of the server's clock, a thread's states in microseconds. Only the first
// has `server`, `began`, `most_requests` and, if there are any, `links`. `replicas`, and a thread's
// `state`, are there when they are new. A thread that is left out was in its state since the event
// before, as nearly as is drawn. A request is told in full at first, after that its number with what is
// new: `awaits`, or when it has ended `ended`, `status` and `awaited`.

import { STATES } from "./states.js";

/** The stretch of time that is shown, in milliseconds. */
export const WINDOW = 60_000;

/** What is shown is that much older than what is known, in milliseconds, so that it slides evenly. */
const DELAY = 150;

/** So many requests are remembered at most: more could not be shown. */
const MOST = 500;

/** A stretch of time that a thread spent in one state to this part or more counts as all its. */
const PURE = 0.98;

/** One thread's last minute. */
class ThreadHistory {
  /** Microseconds in each state since the thread began. */
  totals = STATES.map(() => 0);
  /** Its present state's name; `null` once it has ended. */
  state = null;
  /** Stretches `{from, to, grown, pure}`, the oldest first; `pure` is the one state, or -1. */
  stretches = [];

  constructor(name) {
    this.name = name;
  }

  /** Adds the microseconds that each state has grown by from `from` to `to`. */
  add(from, to, grown) {
    const all = grown.reduce((sum, part) => sum + part, 0);
    const pure = grown.findIndex((part) => part >= PURE * all && part > 0);
    const last = this.stretches.at(-1);
    if (last && pure >= 0 && last.pure === pure && last.to === from) {
      last.to = to;
      grown.forEach((part, i) => { last.grown[i] += part; });
    } else {
      this.stretches.push({ from, to, grown, pure });
    }
  }

  forget(before) {
    const kept = this.stretches.findIndex(({ to }) => to > before);
    this.stretches.splice(0, kept < 0 ? this.stretches.length : kept);
  }

  /** The part of the time since `since` that each state had; all 0 if nothing is known. */
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

/** One server's last minute. */
export class History {
  threads = [];
  /** How many servers share this one's name and its requests; only this one is shown. */
  replicas = 1;
  /** By number. */
  requests = new Map();
  active = 0;
  queue = null;
  /** The most requests that the server tells of at once. */
  mostRequests = Infinity;
  /** When each connection in the accept queue came, as far as that was seen; the oldest first. */
  queuedSince = [];
  #began = null;
  #last = null;
  #offsets = [];

  /** Takes an event, which came at `at` of the page's clock. */
  apply(event, at) {
    if (event.began !== undefined) this.#meet(event);
    const before = this.#last ?? event.now;
    this.#synchronise(event.now, at);
    this.#grow(new Map(event.threads?.map((thread) => [thread.thread, thread])), before, event);
    for (const request of event.requests ?? []) {
      this.requests.set(request.number, { ...this.requests.get(request.number), ...request });
    }
    this.active = event.active_requests;
    this.replicas = event.replicas ?? this.replicas;
    this.mostRequests = event.most_requests ?? this.mostRequests;
    this.queue = event.accept_queue;
    this.#queue(event.accept_queue?.length ?? 0, event.now);
    this.#last = event.now;
    this.#forget(event.now - WINDOW - 1000);
  }

  /** The server's time that belongs to `at` of the page's clock; `null` before the first event. */
  serverTime(at) {
    return this.#last === null ? null : at - Math.min(...this.#offsets);
  }

  /** The right edge of what is shown at `at`. */
  edge(at) {
    const now = this.serverTime(at);
    return now === null ? null : now - DELAY;
  }

  /** How far back the page knows the threads' states, in milliseconds, up to the whole window. */
  known() {
    const first = this.threads[0]?.stretches[0];
    return first ? Math.min(WINDOW, this.#last - first.from) : 0;
  }

  /** Each state's part of the window, of one thread. */
  shares(thread) {
    return thread.shares(this.#last - WINDOW);
  }

  /** Begins anew, unless it is the server known so far: then what was missed is one stretch. */
  #meet({ began }) {
    if (this.#began !== began) {
      this.#began = began;
      this.#last = null;
      this.threads = [];
      this.requests.clear();
      this.queuedSince = [];
    }
    this.#offsets = [];
  }

  /** Adds what each thread has grown by since `before`: as it was told, or else as it was. */
  #grow(told, before, { began, now }) {
    for (const name of told.keys()) {
      if (!this.threads.some((thread) => thread.name === name)) this.threads.push(new ThreadHistory(name));
    }
    for (const thread of this.threads) {
      const news = told.get(thread.name);
      const same = ({ name }) => (name === thread.state ? Math.round(1000 * (now - before)) : 0);
      const since = ({ name }, i) => (news[name] ?? 0) - (began === undefined ? 0 : thread.totals[i]);
      const grown = STATES.map(news ? since : same);
      thread.totals = thread.totals.map((total, i) => total + grown[i]);
      if (news?.state !== undefined) thread.state = news.state;
      if (now > before) thread.add(before, now, grown);
    }
  }

  /** The least delay of late is the best measure of how far the two clocks are apart. */
  #synchronise(now, at) {
    this.#offsets.push(at - now);
    if (this.#offsets.length > 50) this.#offsets.shift();
  }

  /** First in, first out: what is there no longer was the oldest. */
  #queue(length, now) {
    const gone = this.queuedSince.length - length;
    if (gone > 0) this.queuedSince.splice(0, gone);
    while (this.queuedSince.length < length) this.queuedSince.push(now);
  }

  #forget(before) {
    for (const thread of this.threads) thread.forget(before);
    for (const [number, { ended }] of this.requests) {
      const tooMany = ended !== undefined && this.requests.size > MOST;
      if (tooMany || ended < before) this.requests.delete(number);
    }
  }
}
