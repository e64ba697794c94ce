// The live page: follows both servers, draws them, and asks them for things.

import { MAX_WAITING, onChange, waiting } from "./ask.js";
import { askRow } from "./controls.js";
import { setText } from "./dom.js";
import { run, verdict } from "./experiment.js";
import { WINDOW } from "./history.js";
import { ServerView } from "./server.js";
import { STATES, swatch } from "./states.js";
import { follow } from "./stream.js";
import { count } from "./words.js";

/** The time between two looks at numbers that would else flicker, in milliseconds. */
const CALM = 500;

const wait = document.getElementById("wait");
const button = document.getElementById("run");
let running = false;

/** The wait that is set, or `null` if it is none that is allowed. */
function seconds() {
  return wait.checkValidity() ? wait.valueAsNumber : null;
}

const unheard = new Set();

/**
 * Shows the servers, and what is below, once of each it is known how many lanes it has, or that it is
 * not there: what was shown before would move.
 */
function heardOf(name) {
  unheard.delete(name);
  if (unheard.size > 0) return;
  for (const part of document.querySelectorAll("#servers, #asking, footer")) part.hidden = false;
}

const views = [["sync", "Synchronous"], ["async", "Asynchronous"]].map(([name, title]) => {
  const view = new ServerView(name, title);
  document.getElementById("servers").append(view.element);
  document.getElementById("asking").append(view.asking);
  unheard.add(name);
  const news = (event) => {
    view.news(event);
    heardOf(name);
    for (const link of event.links ?? []) addLink(link.name, link.url, ", if it runs");
  };
  const lost = () => {
    view.connected(false);
    heardOf(name);
  };
  follow(name, { news, lost });
  return view;
});

const asks = views.flatMap((view) => {
  const list = view.asking.querySelector(".asks");
  const rows = [
    askRow(view, "GET /", () => `?seconds=${seconds() ?? wait.defaultValue}`),
    askRow(view, "GET /dummy", () => "dummy"),
  ];
  list.append(...rows.map(({ row }) => row));
  return rows;
});

wait.addEventListener("input", () => {
  wait.ariaInvalid = String(seconds() === null);
  asks.forEach(({ update }) => update());
});

/** Buttons that would send more than the browser has connections for are off. */
function showRoom() {
  const full = waiting.size >= MAX_WAITING || running;
  for (const send of document.querySelectorAll(".send")) send.ariaDisabled = String(full);
  button.ariaDisabled = String(waiting.size > 0 || running);
  const why = running || !full ? "" : `${MAX_WAITING} requests wait, a browser's limit. Use curl for more.`;
  for (const line of document.querySelectorAll(".full")) setText(line, why);
}
onChange(showRoom);

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.ariaDisabled === "true") return;
  const line = document.getElementById("verdict");
  if (seconds() === null) {
    setText(line, `The wait is a whole number of seconds from ${wait.min} to ${wait.max}.`);
    wait.focus();
    return;
  }
  running = true;
  setText(line, "Running: GET / to both servers, and half a second later GET /dummy. Watch the lanes.");
  const outcome = await run(seconds());
  running = false;
  showRoom();
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

/** Adds a link, and a remark on it, to the page's end, unless it is there. */
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
  setText(document.getElementById("others"), others > 0 ? `Other clients use this lab, too: ${count(others, "request")} known here did not come from this tab.` : "");
}, CALM);

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let drawnAt = 0;

/** Draws when something is new, or when time has moved the lanes by a pixel. */
function frame(at) {
  const pixel = WINDOW / (document.querySelector(".threads canvas")?.width ?? WINDOW);
  const step = calm.matches ? 1000 : pixel;
  if (at - drawnAt >= step) {
    const start = performance.now();
    for (const view of views) view.draw(start);
    drawnAt = at;
    performance.measure("frame", { start });
    performance.clearMeasures("frame");
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
