// The servers that the page can show, and the choice of the two that it shows.

import { NAMES } from "./servers.js";

/**
 * `kind` is "sync" or "async": whether one thread can have several requests. `called` is the name in a sentence, `python`
 * the language of the handlers if it is not Rust. A `watched` server is one of the article's programs, seen from outside,
 * without its requests. `handlers` of its threads handle requests; a watcher also sees threads that do something else.
 */
const SERVERS = [
  { name: "sync", title: "Synchronous", choice: "lab", kind: "sync", called: "the synchronous server", python: "flask" },
  { name: "flask", title: "Flask", kind: "sync", called: "Flask", python: "flask", watched: true, handlers: 1 },
  { name: "gunicorn", title: "gunicorn", kind: "sync", called: "gunicorn", python: "flask", watched: true, handlers: 1 },
  { name: "gthread", title: "gunicorn (gthread)", choice: "gthread", kind: "sync", called: "gunicorn with gthread", python: "flask", watched: true, handlers: 4 },
  { name: "async", title: "Asynchronous", choice: "lab", kind: "async", called: "the asynchronous server", python: "fastapi" },
  { name: "fastapi", title: "FastAPI", kind: "async", called: "FastAPI", python: "fastapi", watched: true, handlers: 1 },
];

const KINDS = [
  { kind: "sync", label: "Synchronous:" },
  { kind: "async", label: "Asynchronous:" },
];

/** Returns the servers of a kind that are behind this front. */
function offered(kind) {
  return SERVERS.filter((server) => server.kind === kind && NAMES.includes(server.name));
}

const wanted = new URLSearchParams(location.search);

/**
 * The servers that are shown: one of each kind, because each stream takes one of a browser's six connections to a host.
 * Those of the lab, unless the address of the page names others that run.
 */
export const CHOSEN = KINDS.map(({ kind }) => {
  const servers = offered(kind);
  return servers.find(({ name }) => name === wanted.get(kind)) ?? servers[0];
});

/** Phones have no room for all links: there they are folded until they are wanted. */
const phone = matchMedia("(max-width: 48rem)");

/** Shows links to the other servers in `element`. Returns false if there are none. */
export function showLinks(element) {
  const lines = KINDS.map(({ kind, label }) => ({ label, servers: offered(kind) })).filter(({ servers }) => servers.length > 1);
  if (lines.length === 0) return false;
  for (const { label, servers } of lines) {
    const line = document.createElement("p");
    line.append(label, ...servers.map(link));
    element.querySelector("nav").append(line);
  }
  element.querySelector("summary").textContent = `Servers: ${CHOSEN.map(({ title }) => title).join(" and ")}`;
  const fold = () => { element.open = !phone.matches; };
  phone.addEventListener("change", fold);
  fold();
  element.hidden = false;
  return true;
}

/** Returns a link to the page with this server in place of the other one of its kind. */
function link({ name, title, choice = title, kind }) {
  const names = CHOSEN.map((shown) => [shown.kind, shown.kind === kind ? name : shown.name]);
  const element = document.createElement("a");
  element.className = "chip";
  element.href = `?${new URLSearchParams(names)}`;
  if (CHOSEN.some((shown) => shown.name === name)) element.ariaCurrent = "true";
  element.textContent = choice;
  return element;
}
