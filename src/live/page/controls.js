// The buttons that send requests to a server, and the list of responses.

import { send } from "./request.js";
import { cloneOf } from "./dom.js";
import { duration } from "./format.js";

/** Maximum number of responses in the list of a server. */
const MAX_RESPONSES = 5;

/** Returns a row with the button for `GET /PATH` and its curl command. */
export function requestRow(view, label, pathOf) {
  const row = cloneOf("request");
  const [button, line, copy, word] = [".send", "code", ".copy", ".word"].map((selector) => row.querySelector(selector));
  button.textContent = label;
  copy.querySelector(".unseen").textContent = ` the curl command for ${label} on the ${view.name} server`;
  const update = () => { line.textContent = `curl '${location.origin}/${view.name}/${pathOf()}'`; };
  copy.addEventListener("click", async () => {
    word.textContent = await copied(line) ? "Copied" : "Selected";
    const said = view.controls.querySelector(".copied");
    said.textContent = copy.textContent;
    setTimeout(() => {
      word.textContent = "Copy";
      said.textContent = "";
    }, 1500);
  });
  button.addEventListener("click", () => {
    if (button.ariaDisabled !== "true") request(view, label, pathOf());
  });
  update();
  return { row, update };
}

/** Copies an element's text. Where the browser forbids that, selects it, to be copied by hand. */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}

async function request(view, label, path) {
  const item = document.createElement("li");
  item.textContent = `${label}: sent at ${new Date().toLocaleTimeString()}, no response yet`;
  const list = view.controls.querySelector(".responses");
  list.prepend(item);
  list.querySelectorAll(`.done:nth-child(n + ${MAX_RESPONSES + 1})`).forEach((old) => old.remove());
  const { took, status, message } = await send(view.name, path);
  item.textContent = `${label}: ${status ?? "no valid response"} after ${duration(took)}, ${message}`;
  item.classList.add("done");
}
