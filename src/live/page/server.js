// One server's part of the page.

import { finished, isOwn, waiting } from "./request.js";
import { Bars, leftOut } from "./bars.js";
import { Code } from "./code.js";
import { cloneOf, setText } from "./dom.js";
import { History, WINDOW } from "./history.js";
import { Lane } from "./lane.js";
import { Places } from "./places.js";
import { STATES, swatch } from "./states.js";
import { axis } from "./shown.js";
import { count, percent } from "./format.js";

/** Number of shares that are shown beside a lane. */
const MAX_SHARES = 2;

/** Milliseconds that a request may be on its way to the server, or its start on the way to the page. */
const ON_THE_WAY = 200;

/** States of a thread that has a request; the first one that any thread is in is probably that of this request. */
const AT_WORK = ["running", "runnable", "blocked"];

/** Shares below this are not shown. */
const SMALL = 0.005;

/** The part of one server: its result, its requests, its threads with their lanes and shares, and its handler. */
export class ServerView {
  #watched;
  #handlers;
  #lanes = [];
  #bars;
  #places;
  #code;
  #shown;
  /** The run that is shown, with its start on the server's clock and a copy of its states once it is complete. */
  #run = { run: null };
  /** Route of the handler whose code is shown. */
  #route = "/";

  /** The server is one of choice.js. `shown` is the time that is shown. */
  constructor({ name, title, kind, watched = false, handlers }, shown) {
    this.name = name;
    this.#watched = watched;
    this.#handlers = handlers;
    this.kind = kind;
    this.title = title;
    this.history = new History();
    this.#shown = shown;
    this.element = cloneOf("server");
    this.#find("h2").textContent = title;
    this.element.ariaLabel = title;
    this.controls = cloneOf("server-controls");
    this.controls.querySelector("h2").textContent = `Requests to ${name}`;
    this.#find("table").ariaLabel = `${title}: requests and threads`;
    this.#find(".bars").ariaLabel = `Requests of ${name}; the arrow keys move between them`;
    this.#bars = new Bars(this.#find(".bars"), this.#find(".detail"), (thread) => `${name}-${thread}`);
    this.#places = new Places(this.element, kind === "async");
    this.#code = new Code(this.#find(".code"));
    this.#setRows(1);
    drawAxis(this.#find(".axis"), null);
  }

  /** Adds an event, and shows all that does not slide. */
  receive(event) {
    const restarted = this.history.apply(event, performance.now());
    if (restarted) this.#bars.clear();
    if (this.#lanes.length !== this.history.threads.length) this.#addLanes();
    this.connected(true);
    setText(this.#find(".active"), String(this.history.active));
    const { queue } = this.history;
    setText(this.#find(".queue"), queue ? `${queue.length} of ${queue.limit}` : "not known");
    for (const { row, thread } of this.#lanes) setText(row.querySelector(".now"), now(thread));
    this.#showRequests();
  }

  /** Shows whether there is a connection to the server. */
  connected(is) {
    setText(this.#find(".connection"), is ? connectedTo(this.name, this.history) : "Connection lost, trying again…");
    this.#find(".connection").classList.toggle("partial", this.history.replicas > 1);
    this.element.classList.toggle("stale", !is);
  }

  /** Shows the largest shares of the last minute. */
  showShares() {
    for (const { thread, shares: cells } of this.#lanes) {
      const shares = this.history.shares(thread);
      const largest = [...shares].sort((one, other) => other - one).slice(0, MAX_SHARES);
      cells.forEach((cell, i) => {
        cell.dataset.share = shares[i];
        cell.hidden = shares[i] < SMALL || !largest.includes(shares[i]);
        setText(cell.lastChild, `${percent(shares[i])} ${STATES[i].name}`);
      });
    }
    this.element.dataset.known = this.history.known();
  }

  /** Shows the handler of `wait`. */
  showCode(wait, language) {
    this.#route = `/${wait.path}`;
    this.#code.show(wait, language);
  }

  /** Shows the time of GET /dummy and why it took that long. */
  showResult(took, why) {
    setText(this.#find(".took"), took);
    setText(this.#find(".why"), why);
  }

  /** Marks the guessed end of GET /dummy, as a share of the lane; `null` for no mark. */
  showGuess(at) {
    const mark = this.#find(".guess");
    mark.hidden = at === null;
    mark.style.left = `${100 * at}%`;
  }

  /** Draws the time that is shown. */
  draw(at) {
    const range = this.#range(at);
    if (range === null) return;
    this.#bars.slide(range);
    for (const { lane, thread } of this.#lanes) {
      const copied = this.#run.copy?.threads.find(({ name }) => name === thread.name);
      lane.draw((copied ?? thread).stretches, range);
    }
  }

  /** Returns the number of known requests that were not sent by this tab. */
  others() {
    return [...this.history.requests.values()].filter(({ tag }) => !isOwn(tag)).length;
  }

  /** Returns the number of threads that handle requests. */
  handlers() {
    return this.#handlers ?? this.history.threads.length;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  /** Returns the time that is shown as `{from, to, edge}` of the server's clock; `null` before the first event. */
  #range(at) {
    const edge = this.history.edge(at);
    if (edge === null) return null;
    const run = this.#shown.at(at);
    if (run !== this.#run.run) this.#begin(run, at);
    if (run?.span !== this.#run.span) {
      this.#run.span = run?.span;
      drawAxis(this.#find(".axis"), run);
    }
    if (!run) return { from: edge - WINDOW, to: edge, edge, slides: true };
    const range = { from: this.#run.from, to: this.#run.from + run.span, edge, slides: false };
    if (edge > range.to && run.endedAt !== null && !run.copies?.[this.name]) {
      run.copies = { ...run.copies, [this.name]: this.history.copy(range.from, range.to) };
      this.history.keepFrom = null;
    }
    this.#run.copy = run.copies?.[this.name];
    return range;
  }

  /** Begins to show `run`, or the last minute. */
  #begin(run, at) {
    this.#run = { run };
    this.#bars.clear();
    drawAxis(this.#find(".axis"), run);
    if (!run) return;
    run.from ??= {};
    run.from[this.name] ??= run.startedAt - (at - this.history.serverTime(at));
    this.#run.from = run.from[this.name];
    this.#run.span = run.span;
    if (!run.copies?.[this.name]) this.history.keepFrom = this.#run.from;
  }

  #addLanes() {
    this.#lanes = this.history.threads.map((thread) => laneRow(this.name, thread));
    this.#find(".threads").replaceChildren(...this.#lanes.map(({ row }) => row));
    this.#setRows(this.#lanes.length);
    const others = this.#handlers < this.#lanes.length ? `, ${this.#handlers} for requests` : "";
    this.#find("h2").replaceChildren(this.title, " ", small(count(this.#lanes.length, "thread") + others));
  }

  /** Servers with many threads get more rows for requests, and lower lanes. */
  #setRows(threads) {
    this.rows = threads > 4 ? 12 : 3;
    this.element.style.setProperty("--rows", this.rows);
    this.element.classList.toggle("many", threads > 4);
  }

  #showRequests() {
    const at = performance.now();
    const range = this.#range(at);
    const now = this.history.serverTime(at);
    const logged = this.#watched ? this.#sent(at - now) : [...this.history.requests.values()];
    const known = new Set(logged.map(({ tag }) => tag));
    const queued = this.#queued(known, at);
    // The page keeps its own requests, so those of a watched server are not in the copy.
    const past = this.#watched ? logged : this.#run.copy?.requests ?? logged;
    const requests = [...past.map(withKey), ...queued].sort((one, other) => one.arrived - other.arrived);
    const noRoom = this.#bars.show(requests, range, this.rows);
    const inFlight = logged.filter(({ ended }) => ended === undefined).map(withKey);
    const unknown = logged.length < this.history.maxRequests ? 0 : Math.max(0, this.history.active - inFlight.length);
    setText(this.#find(".hidden-requests"), leftOut(noRoom, unknown));

    const [free, held] = [true, false].map((awaits) => inFlight.filter((request) => request.awaits === awaits));
    this.#places.show(queued, held, free, now, unknown);
    const waitsHere = inFlight.find(({ route }) => route === this.#route);
    this.#code.light(waitsHere && (waitsHere.awaits ? "awaiting" : this.#stateOf(waitsHere)));
  }

  /** Returns the state of the thread that has a request. Which one it is of a watched server is not known. */
  #stateOf({ thread: index }) {
    const { threads } = this.history;
    const state = this.#watched
      ? AT_WORK.find((atWork) => threads.some((thread) => thread.state === atWork))
      : threads.find(({ name }) => name === String(index))?.state;
    return state ?? "blocked";
  }

  /**
   * Returns the requests that this page sent to a watched server and that a thread has taken, as far as the queue and
   * the states tell. `offset` is the page's time minus the server's.
   */
  #sent(offset) {
    const ofServer = ({ server }) => server === this.name;
    const inFlight = [...waiting].filter(ofServer);
    const notQueued = Math.max(0, inFlight.length - this.history.queuedSince.length);
    const taken = inFlight.slice(0, notQueued);
    const awaits = this.kind === "async" && this.history.threads.some(({ state }) => state === "awaiting");
    for (const request of taken) {
      request.started ??= performance.now();
      request.awaits ||= awaits;
    }
    // The queue is known a moment later than the request, and one that ends before the next event is not seen on a thread.
    for (const request of inFlight.slice(notQueued)) {
      request.started = undefined;
      request.queuedAt = performance.now();
    }
    return [...finished.filter(ofServer), ...taken].map(({ tag, route, sentAt, queuedAt, started = queuedAt ?? sentAt, awaits: ever = false, endedAt, status }) => {
      const request = { number: tag, tag, route, arrived: sentAt - offset, started: started - offset, awaits: ever };
      if (endedAt === undefined) return request;
      return { ...request, ended: endedAt - offset, status, awaited: ever ? endedAt - started : 0 };
    });
  }

  /**
   * Returns the requests that no thread has started. The page knows its own; those that the server does not know are in
   * the accept queue or unread on a connection that the front keeps open, unless another replica has them. Of others it
   * knows only the length of the accept queue.
   */
  #queued(known, at) {
    const length = this.history.queuedSince.length;
    const unknown = [...waiting].filter(({ server, tag }) => server === this.name && !known.has(tag));
    const isLate = ({ sentAt }) => at - sentAt > ON_THE_WAY;
    const own = this.history.replicas > 1 ? unknown.slice(0, length) : unknown.filter(isLate);
    const offset = at - this.history.serverTime(at);
    const bars = own.map(({ tag, route, sentAt }) => ({ key: tag, route, arrived: sentAt - offset }));
    const others = this.history.queuedSince.slice(0, Math.max(0, length - own.length));
    return bars.concat(others.map((since) => ({ key: `queued at ${since}`, route: "not read yet", arrived: since })));
  }
}

/** The front connects the page to one replica, but sends requests to all of them. */
function connectedTo(name, { replicas, replica }) {
  return replicas > 1 ? `Connected to replica ${replica} of ${name}, one of ${replicas}; the others are not shown` : "Connected";
}

/** Describes the present state of a thread, e.g. as "blocked 5 s on sleep". */
function now({ state, since, on }) {
  if (state === null) return "ended";
  const long = since >= 1 ? ` ${Math.floor(since)} s` : "";
  return state + long + (on ? ` on ${on}` : "");
}

/** The key stays the same when a request of this page leaves the queue, so that its bar keeps its place. */
function withKey(request) {
  request.key ??= isOwn(request.tag) ? request.tag : request.number;
  return request;
}

function small(text) {
  const element = document.createElement("small");
  element.textContent = text;
  return element;
}

function drawAxis(element, run) {
  element.replaceChildren(...axis(run).map(({ at, text }) => {
    const label = document.createElement("span");
    label.textContent = text;
    label.style.left = `${100 * at}%`;
    // Centred, but within the lane at its ends.
    label.style.transform = `translateX(${at < 0.02 ? 0 : at > 0.98 ? -100 : -50}%)`;
    return label;
  }));
}

/** Returns the row of a thread: its name, its lane and its shares. */
function laneRow(server, thread) {
  const row = cloneOf("thread");
  const name = `${server}-${thread.name}`;
  row.querySelector(".name").textContent = name;
  const canvas = row.querySelector("canvas");
  canvas.ariaLabel = `The states of ${name} over the time shown`;
  const shares = STATES.map(({ name: state }, i) => {
    const share = document.createElement("span");
    share.dataset.state = state;
    share.hidden = true;
    share.append(swatch(i), document.createElement("span"));
    return share;
  });
  row.querySelector(".shares").append(...shares);
  return { row, lane: new Lane(canvas), shares, thread };
}
