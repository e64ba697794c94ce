// The live page: shows two servers, sends requests to them and runs the experiment.

import { MAX_WAITING, onChange, waiting } from "./request.js";
import { CHOSEN, showLinks } from "./choice.js";
import { copied, requestRow } from "./controls.js";
import { cloneOf, setText } from "./dom.js";
import { PAUSE, reason, run, timesSooner, verdict } from "./experiment.js";
import { allowGuesses, guess, score } from "./guess.js";
import { WAITS } from "./handlers.js";
import { warning } from "./pressure.js";
import { ServerView } from "./server.js";
import { NAMES } from "./servers.js";
import { Shown, span } from "./shown.js";
import { STATES, swatch } from "./states.js";
import { follow } from "./stream.js";
import { count, duration } from "./format.js";

/** Milliseconds between two updates of numbers that would flicker otherwise. */
const UPDATE_INTERVAL = 500;

const byId = (id) => document.getElementById(id);
const wait = byId("wait");
const button = byId("run");
const shown = new Shown();
let kind = WAITS[0];
let running = false;

/** Returns the wait in the input field; `null` if it is invalid. */
function seconds() {
  return wait.checkValidity() ? wait.valueAsNumber : null;
}

/** Returns the name of the first request. */
function first() {
  return `GET /${kind.path}`;
}

const pending = new Set();

/**
 * Shows the servers and everything below once each has sent its number of lanes or is known to be down.
 * Shown earlier, they would move.
 */
function settle(name) {
  pending.delete(name);
  if (pending.size > 0) return;
  for (const part of document.querySelectorAll("#toolbar, #servers, #controls, footer")) part.hidden = false;
}

const views = CHOSEN.map((server) => {
  const view = new ServerView(server, shown);
  byId("servers").append(view.element);
  byId("controls").append(view.controls);
  pending.add(server.name);
  const received = (event) => {
    view.receive(event);
    settle(server.name);
    for (const link of event.links) addLink(link.name, link.url, ", if it runs");
    setText(byId("next"), next(event.replicas !== null));
  };
  const lost = () => {
    view.connected(false);
    settle(server.name);
  };
  follow(server.name, { received, lost });
  return view;
});

const rows = views.flatMap((view) => {
  const list = view.controls.querySelector(".requests-to-send");
  const pair = [
    requestRow(view, first, () => `${kind.path}?seconds=${seconds() ?? wait.defaultValue}`),
    requestRow(view, () => "GET /dummy", () => "dummy"),
  ];
  list.append(...pair.map(({ row }) => row));
  return pair;
});

/** Returns the command of the next experiment. The article's programs run in Compose only. */
function next(inCompose) {
  if (NAMES.length > 2) return `docker compose run --rm --no-deps experiment matrix --servers ${NAMES}`;
  return inCompose ? "docker compose run --rm --no-deps experiment matrix" : "cargo run --release -- experiment matrix";
}

/** Shows what depends on the kind of wait and its length. */
function showChoice() {
  wait.ariaInvalid = String(seconds() === null);
  if (seconds() !== null) allowGuesses(seconds() + 2);
  setText(byId("wait-meaning"), kind.meaning);
  const isPython = document.querySelector("[name=language]:checked").value === "python";
  views.forEach((view, i) => view.showCode(kind, isPython || CHOSEN[i].watched ? CHOSEN[i].python : "rust"));
  rows.forEach(({ update }) => update());
}

const offered = WAITS.filter((one) => CHOSEN.every(({ python, watched }) => !watched || one[python]));
offered.forEach((one, i) => {
  const chip = cloneOf("chip");
  const input = chip.firstElementChild;
  input.checked = i === 0;
  input.addEventListener("change", () => {
    kind = one;
    showChoice();
  });
  chip.append(one.name);
  byId("waits").append(chip);
});
wait.addEventListener("input", showChoice);
byId("language").addEventListener("change", showChoice);
byId("shown").addEventListener("change", ({ target }) => shown.choose(target.value === "run"));
showChoice();

const watched = CHOSEN.filter((server) => server.watched).length;
if (watched > 0) setText(byId("compared"), watched === 2 ? "These are the article's own programs." : "One of these is the article's own program.");
byId("language").hidden = watched === 2;
// On a phone, the names of the servers take its place.
if (showLinks(byId("choice"))) byId("compared").className = "wide";

/** Shows which time is shown. */
function showShown(at) {
  const isRun = shown.at(at) !== null;
  const [minute, theRun] = document.querySelectorAll("[name=shown]");
  theRun.disabled = shown.run === null;
  if (theRun.checked !== isRun) (isRun ? theRun : minute).checked = true;
}

/** Counts up the time of each GET /dummy of the experiment that has no response yet. */
function showWaiting(at) {
  if (!running) return;
  for (const { server, route, sentAt } of waiting) {
    if (route === "/dummy") views.find(({ name }) => name === server).showResult(duration(at - sentAt), "GET /dummy has no response yet.");
  }
}

/** Shows the time of GET /dummy on a server; a dash without a valid response. */
function showTime(server, { took, status }) {
  views.find(({ name }) => name === server).showResult(status === 200 ? duration(took) : "–", "");
}

/** Disables the buttons when the browser has no connection left for another request, and says why. */
function updateButtons() {
  const full = waiting.size >= MAX_WAITING || running;
  for (const send of document.querySelectorAll(".send")) send.ariaDisabled = String(full);
  button.ariaDisabled = String(waiting.size > 0 || running);
  showReason();
  const why = running ? "The experiment runs." : `${MAX_WAITING} requests are in flight, the maximum of a browser. Use curl for more.`;
  for (const line of document.querySelectorAll(".full")) setText(line, full ? why : "");
}
onChange(updateButtons);

/** Says why the experiment cannot be run now; keeps the latest result if it can. */
function showReason() {
  const line = byId("status");
  const sent = `Waits for ${count(waiting.size, "request")} sent below.`;
  if (running) setText(line, "Running: watch the lanes.");
  else if (waiting.size > 0) setText(line, sent);
  else line.replaceChildren(...result);
}

/** The elements and texts that describe the latest result beside the button. */
let result = [];

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.ariaDisabled === "true") return;
  if (seconds() === null) {
    setText(byId("status"), `Enter a whole number of seconds from ${wait.min} to ${wait.max}.`);
    wait.focus();
    return;
  }
  running = true;
  result = [];
  const [length, guessed, startedAt] = [1000 * seconds(), guess(), performance.now()];
  shown.begin(startedAt, length);
  setText(byId("verdict"), "");
  for (const view of views) view.showResult("–", "");
  views[0].showGuess(guessed === null ? null : (PAUSE + guessed) / span(shown.run));
  const outcome = await run(views.map(({ name }) => name), kind, seconds(), showTime);
  running = false;
  shown.end(performance.now());
  showOutcome(outcome, guessed);
  updateButtons();
});

/** Shows the result of a run beside the lanes, and all of it for screen readers and to be copied. */
function showOutcome(outcome, guessed) {
  const servers = Object.fromEntries(views.map((view) => [view.kind, { threads: view.handlers(), replicas: view.history.replicas }]));
  const times = timesSooner(outcome);
  for (const view of views) {
    const { took, status } = outcome[view.kind].short;
    const why = reason(view.kind, outcome, servers[view.kind]);
    const clause = view.kind === "async" && times ? `${times}: ${why}` : why;
    view.showResult(status === 200 ? duration(took) : "–", `${clause[0].toUpperCase()}${clause.slice(1)}.`);
  }
  const { short } = outcome.sync;
  const scored = guessed !== null && short.status === 200 ? score(guessed, short.took) : "";
  const names = CHOSEN.map(({ called }) => called);
  const text = [verdict(outcome, servers, names), times && `That is ${times}.`, scored].filter(Boolean).join(" ");
  setText(byId("verdict"), text);
  const copy = cloneOf("copy-result");
  copy.addEventListener("click", async () => {
    setText(copy.firstElementChild, await copied(text, byId("verdict")) ? "Copied" : "Selected");
  });
  result = scored ? [scored, " ", copy] : [copy];
}

for (const [i, { name, meaning }] of STATES.entries()) {
  const row = document.createElement("div");
  const [term, words] = ["dt", "dd"].map((tag) => document.createElement(tag));
  term.append(swatch(i), name);
  words.textContent = meaning;
  row.append(term, words);
  byId("states").append(row);
  addToLegend(swatch(i), name);
}
for (const [look, name] of [["unknown", "not known"], ["queued", "queued"], ["held", "held"], ["awaited", "awaited"]]) {
  const part = document.createElement("i");
  part.className = `part ${look}`;
  addToLegend(part, name);
}

function addToLegend(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  byId("legend").append(item);
}

/** Adds a link with a remark to the end of the page, unless it is there already. */
function addLink(text, url, remark = "") {
  const links = byId("links");
  if ([...links.querySelectorAll("a")].some(({ textContent }) => textContent === text)) return;
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = url;
  link.textContent = text;
  item.append(link, remark);
  links.append(item);
}
for (const name of ["sync", "async"]) addLink(`API of the ${name} server`, `/${name}/docs`);

setInterval(() => {
  if (document.hidden) return;
  for (const view of views) view.showShares();
  const others = views.reduce((sum, view) => sum + view.others(), 0);
  setText(byId("others"), others > 0 ? `Other clients use this lab: ${count(others, "request")} shown here did not come from this tab.` : "");
  const pressures = views.map(({ history }) => history.cpuPressure).filter((pressure) => pressure !== null);
  setText(byId("pressure"), warning(pressures.length > 0 ? Math.max(...pressures) : null));
}, UPDATE_INTERVAL);

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
let drawnAt = 0;

/** Draws when the lanes have moved by a pixel. */
function frame(at) {
  const time = span(shown.at(performance.now()));
  const pixel = time / (document.querySelector(".threads .lane canvas")?.width ?? time);
  const step = reducedMotion.matches ? 1000 : pixel;
  if (at - drawnAt >= step) {
    const start = performance.now();
    showShown(start);
    for (const view of views) view.draw(start);
    showWaiting(start);
    drawnAt = at;
    performance.measure("frame", { start });
    performance.clearMeasures("frame");
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
