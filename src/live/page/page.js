// The live page: shows both servers and sends requests to them.

import { MAX_WAITING, onChange, waiting } from "./request.js";
import { requestRow } from "./controls.js";
import { setText } from "./dom.js";
import { run, timesSooner, verdict } from "./experiment.js";
import { WINDOW } from "./history.js";
import { ServerView } from "./server.js";
import { STATES, swatch } from "./states.js";
import { follow } from "./stream.js";
import { count, duration } from "./format.js";

/** Milliseconds between two updates of numbers that would flicker otherwise. */
const UPDATE_INTERVAL = 500;

const wait = document.getElementById("wait");
const button = document.getElementById("run");
let running = false;

/** Returns the wait in the input field; `null` if it is invalid. */
function seconds() {
  return wait.checkValidity() ? wait.valueAsNumber : null;
}

const pending = new Set();

/**
 * Shows the servers and everything below once each has sent its number of lanes or is known to be down.
 * Shown earlier, they would move.
 */
function settle(name) {
  pending.delete(name);
  if (pending.size > 0) return;
  for (const part of document.querySelectorAll("#servers, #controls, footer")) part.hidden = false;
}

const views = [["sync", "Synchronous"], ["async", "Asynchronous"]].map(([name, title]) => {
  const view = new ServerView(name, title);
  document.getElementById("servers").append(view.element);
  document.getElementById("controls").append(view.controls);
  pending.add(name);
  const received = (event) => {
    view.receive(event);
    settle(name);
    for (const link of event.links) addLink(link.name, link.url, ", if it runs");
  };
  const lost = () => {
    view.connected(false);
    settle(name);
  };
  follow(name, { received, lost });
  return view;
});

const rows = views.flatMap((view) => {
  const list = view.controls.querySelector(".requests-to-send");
  const pair = [
    requestRow(view, "GET /", () => `?seconds=${seconds() ?? wait.defaultValue}`),
    requestRow(view, "GET /dummy", () => "dummy"),
  ];
  list.append(...pair.map(({ row }) => row));
  return pair;
});

wait.addEventListener("input", () => {
  wait.ariaInvalid = String(seconds() === null);
  rows.forEach(({ update }) => update());
});

const numbers = Object.fromEntries(["sync", "async"].map((name) => [name, document.querySelector(`#times [data-server=${name}]`)]));
const ratio = document.querySelector("#times .ratio");

/** Counts up the time of each GET /dummy of the experiment that has no response yet. */
function showWaiting(at) {
  if (!running) return;
  for (const { server, route, sentAt } of waiting) {
    if (route === "/dummy") setText(numbers[server], duration(at - sentAt));
  }
}

/** Shows the time of GET /dummy on a server; a dash without a valid response. */
function showTime(server, { took, status }) {
  setText(numbers[server], status === 200 ? duration(took) : "–");
}

/** Disables the buttons when the browser has no connection left for another request. */
function updateButtons() {
  const full = waiting.size >= MAX_WAITING || running;
  for (const send of document.querySelectorAll(".send")) send.ariaDisabled = String(full);
  button.ariaDisabled = String(waiting.size > 0 || running);
  const why = running || !full ? "" : `${MAX_WAITING} requests are in flight, the maximum of a browser. Use curl for more.`;
  for (const line of document.querySelectorAll(".full")) setText(line, why);
}
onChange(updateButtons);

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.ariaDisabled === "true") return;
  const line = document.getElementById("verdict");
  if (seconds() === null) {
    setText(line, `Enter a whole number of seconds from ${wait.min} to ${wait.max}.`);
    wait.focus();
    return;
  }
  running = true;
  setText(line, "Running: GET / on both servers, and GET /dummy half a second later. Watch the lanes.");
  for (const number of Object.values(numbers)) setText(number, "–");
  setText(ratio, "");
  const outcome = await run(seconds(), showTime);
  running = false;
  setText(ratio, timesSooner(outcome));
  updateButtons();
  const [sync, async] = views.map(({ history }) => history);
  setText(line, verdict(outcome, { sync, async }));
});

for (const [i, { name, meaning }] of STATES.entries()) {
  const row = document.createElement("div");
  const [term, words] = ["dt", "dd"].map((tag) => document.createElement(tag));
  term.append(swatch(i), name);
  words.textContent = meaning;
  row.append(term, words);
  document.getElementById("states").append(row);
}

/** Adds a link with a remark to the end of the page, unless it is there already. */
function addLink(text, url, remark = "") {
  const links = document.getElementById("links");
  if ([...links.querySelectorAll("a")].some(({ textContent }) => textContent === text)) return;
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = url;
  link.textContent = text;
  item.append(link, remark);
  links.append(item);
}
for (const { name } of views) addLink(`API of the ${name} server`, `/${name}/docs`);

setInterval(() => {
  if (document.hidden) return;
  for (const view of views) view.showShares();
  const others = views.reduce((sum, view) => sum + view.others(), 0);
  setText(document.getElementById("others"), others > 0 ? `Other clients use this lab: ${count(others, "request")} shown here did not come from this tab.` : "");
}, UPDATE_INTERVAL);

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
let drawnAt = 0;

/** Draws when the lanes have moved by a pixel. */
function frame(at) {
  const pixel = WINDOW / (document.querySelector(".threads canvas")?.width ?? WINDOW);
  const step = reducedMotion.matches ? 1000 : pixel;
  if (at - drawnAt >= step) {
    const start = performance.now();
    for (const view of views) view.draw(start);
    showWaiting(start);
    drawnAt = at;
    performance.measure("frame", { start });
    performance.clearMeasures("frame");
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
