// One server's part of the page.

import { isOwn, waiting } from "./request.js";
import { Bars, leftOut } from "./bars.js";
import { cloneOf, setText } from "./dom.js";
import { History, WINDOW } from "./history.js";
import { Lane } from "./lane.js";
import { STATES, swatch } from "./states.js";
import { percent } from "./format.js";

/** The table of one server: its requests, and its threads with their lanes and shares. */
export class ServerView {
  #lanes = [];
  #bars;

  constructor(name, title) {
    this.name = name;
    this.history = new History();
    this.element = cloneOf("server");
    this.#find("h2").textContent = title;
    this.element.ariaLabel = title;
    this.controls = cloneOf("server-controls");
    this.controls.querySelector("h2").textContent = `Requests to the ${title.toLowerCase()} server`;
    this.#find("table").ariaLabel = `${title}: requests and threads over the last 60 s`;
    this.#find(".bars").ariaLabel = `Requests of the ${name} server; the arrow keys move between them`;
    this.#find("thead tr").append(...STATES.map(({ name: state }, i) => header(state, i)));
    this.#bars = new Bars(this.#find(".bars"), this.#find(".detail"), (thread) => `${name}-${thread}`);
    this.#setRows(1);
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
    for (const { row, thread } of this.#lanes) {
      setText(row.querySelector(".now"), thread.state ?? "ended");
    }
    this.#showBars();
  }

  /** Shows whether there is a connection to the server. */
  connected(is) {
    setText(this.#find(".connection"), is ? connectedTo(this.history.replicas) : "Connection lost, trying again…");
    this.element.classList.toggle("stale", !is);
  }

  /** Shows the shares of each state in the window. */
  showShares() {
    for (const { thread, cells } of this.#lanes) {
      const shares = this.history.shares(thread);
      cells.forEach((cell, i) => {
        cell.dataset.share = shares[i];
        setText(cell, percent(shares[i]));
      });
    }
    this.element.dataset.known = this.history.known();
  }

  /** Draws the window up to now. */
  draw(at) {
    const edge = this.history.edge(at);
    if (edge === null) return;
    this.#bars.slide(edge);
    for (const { lane, thread } of this.#lanes) lane.draw(thread.stretches, edge);
  }

  /** Returns the number of known requests that were not sent by this tab. */
  others() {
    return [...this.history.requests.values()].filter(({ tag }) => !isOwn(tag)).length;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #addLanes() {
    this.#lanes = this.history.threads.map((thread) => laneRow(this.name, thread));
    this.#find(".threads").replaceChildren(...this.#lanes.map(({ row }) => row));
    this.#setRows(this.#lanes.length);
  }

  /** Servers with many threads get more rows for requests, and lower lanes. */
  #setRows(threads) {
    this.rows = threads > 4 ? 12 : 4;
    this.element.style.setProperty("--rows", this.rows);
    this.element.classList.toggle("many", threads > 4);
  }

  #showBars() {
    const at = performance.now();
    const logged = [...this.history.requests.values()];
    const known = new Set(logged.map(({ tag }) => tag));
    const queued = this.#queued(known, at);
    const requests = [...logged.map(withKey), ...queued].sort((one, other) => one.arrived - other.arrived);
    const noRoom = this.#bars.show(requests, this.history.edge(at), this.rows);
    const inFlight = logged.filter(({ ended }) => ended === undefined).length;
    const unknown = logged.length < this.history.maxRequests ? 0 : this.history.active - inFlight;
    setText(this.#find(".hidden-requests"), leftOut(noRoom, unknown));
  }

  /**
   * Returns the requests in the accept queue. The server knows only the length of the queue. The page
   * knows its own requests and takes the rest for requests of others. Its own may also wait elsewhere,
   * e.g. at another replica of the server.
   */
  #queued(known, at) {
    const length = this.history.queuedSince.length;
    const unknown = [...waiting].filter(({ server, tag }) => server === this.name && !known.has(tag));
    const own = unknown.slice(0, length);
    const offset = at - this.history.serverTime(at);
    const bars = own.map(({ tag, route, sentAt }) => ({ key: tag, route, arrived: sentAt - offset }));
    const others = this.history.queuedSince.slice(0, length - own.length);
    return bars.concat(others.map((since) => ({ key: `queued at ${since}`, route: "not read yet", arrived: since })));
  }
}

/** The front connects the page to one replica, but sends requests to all of them. */
function connectedTo(replicas) {
  return replicas > 1 ? `Connected to one of ${replicas} replicas; the others are not shown` : "Connected";
}

/** The key stays the same when a request of this page leaves the queue, so that its bar keeps its place. */
function withKey(request) {
  request.key ??= isOwn(request.tag) ? request.tag : request.number;
  return request;
}

function header(state, i) {
  const cell = document.createElement("th");
  cell.scope = "col";
  cell.setAttribute("role", "columnheader");
  cell.append(swatch(i), state);
  return cell;
}

/** Returns the row of a thread: its name, its lane and its shares. */
function laneRow(server, thread) {
  const row = cloneOf("thread");
  const name = `${server}-${thread.name}`;
  row.querySelector(".name").textContent = name;
  const canvas = row.querySelector("canvas");
  canvas.ariaLabel = `The states of ${name} over the last ${WINDOW / 1000} s`;
  const cells = STATES.map(({ name: state }) => {
    const cell = document.createElement("td");
    cell.setAttribute("role", "cell");
    cell.dataset.state = state;
    cell.textContent = "–";
    return cell;
  });
  row.append(...cells);
  return { row, lane: new Lane(canvas), cells, thread };
}
