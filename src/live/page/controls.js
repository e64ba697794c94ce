// The buttons that send requests to a server, the list of responses, and copying to the clipboard.

import { send } from "./request.js";
import { cloneOf } from "./dom.js";
import { duration } from "./format.js";

/** Maximum number of responses in the list of a server. */
const MAX_RESPONSES = 5;

/** Returns a row with the button for `GET /PATH` and its curl command. `labelOf` and `pathOf` return the present ones. */
export function requestRow(view, labelOf, pathOf) {
  const row = cloneOf("request");
  const [button, line, copy, word] = [".send", "code", ".copy", ".word"].map((selector) => row.querySelector(selector));
  const update = () => {
    button.textContent = labelOf();
    copy.querySelector(".unseen").textContent = ` the curl command for ${labelOf()} on the ${view.name} server`;
    line.textContent = `curl '${location.origin}/${view.name}/${pathOf()}'`;
  };
  copy.addEventListener("click", async () => {
    word.textContent = await copied(line.textContent, line) ? "Copied" : "Selected";
    const said = view.controls.querySelector(".copied");
    said.textContent = copy.textContent;
    setTimeout(() => {
      word.textContent = "Copy";
      said.textContent = "";
    }, 1500);
  });
  button.addEventListener("click", () => {
    if (button.ariaDisabled !== "true") request(view, labelOf(), pathOf());
  });
  update();
  return { row, update };
}

/** Copies a text. Where the browser forbids that, selects `element`, to be copied by hand. */
export async function copied(text, element) {
  try {
    await navigator.clipboard.writeText(text);
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
  item.textContent = `${label}: ${status ?? "no valid response"} after ${duration(took)}, ${message ?? "no message"}`;
  item.classList.add("done");
}
