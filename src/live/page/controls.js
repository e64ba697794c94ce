// The buttons that ask a server for something, and the answers that they get.

import { ask } from "./ask.js";
import { cloneOf } from "./dom.js";
import { duration } from "./words.js";

/** How many answers a server's list keeps. */
const MAX_ANSWERS = 5;

/** The button for `GET /PATH`, its curl line, and the answers that it gets. */
export function askRow(view, label, pathOf) {
  const row = cloneOf("ask");
  const [send, line, copy, word] = [".send", "code", ".copy", ".word"].map((selector) => row.querySelector(selector));
  send.textContent = label;
  copy.querySelector(".unseen").textContent = ` the curl line of ${label} for the ${view.name} server`;
  const update = () => { line.textContent = `curl '${location.origin}/${view.name}/${pathOf()}'`; };
  copy.addEventListener("click", async () => {
    word.textContent = await copied(line) ? "Copied" : "Marked";
    const said = view.asking.querySelector(".copied");
    said.textContent = copy.textContent;
    setTimeout(() => {
      word.textContent = "Copy";
      said.textContent = "";
    }, 1500);
  });
  send.addEventListener("click", () => {
    if (send.ariaDisabled !== "true") answer(view, label, pathOf());
  });
  update();
  return { row, update };
}

/** Copies an element's text, or where the browser forbids that selects it, to be copied by hand. */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}

async function answer(view, label, path) {
  const item = document.createElement("li");
  item.textContent = `${label}: asked at ${new Date().toLocaleTimeString()}, no answer yet`;
  const list = view.asking.querySelector(".answers");
  list.prepend(item);
  list.querySelectorAll(`.done:nth-child(n + ${MAX_ANSWERS + 1})`).forEach((old) => old.remove());
  const { took, status, message } = await ask(view.name, path);
  item.textContent = `${label}: ${status ?? "no proper answer"} after ${duration(took)}, ${message}`;
  item.classList.add("done");
}
