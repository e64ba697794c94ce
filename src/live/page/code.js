// The handler beside the lane, with the line lit on which it waits. On a phone only that line, until it is opened.

/** Files of the handlers, by language. */
const FILES = { rust: "src/app/endpoints.rs", flask: "originals/flask/app.py", fastapi: "originals/fastapi/app.py" };

/** Shown for an endpoint that a program does not have. */
const NONE = { code: "The article's programs have no such endpoint.", waitsAt: "no such" };

/** Phones have no room for all lines beside the lanes. */
const phone = matchMedia("(max-width: 48rem)");

/** The code of the handler of one server. */
export class Code {
  #element;
  #line = null;

  constructor(element) {
    this.#element = element;
    const fold = () => { element.open = !phone.matches; };
    phone.addEventListener("change", fold);
    fold();
  }

  /** Shows the handler of `wait` in `language`. */
  show(wait, language) {
    const { code, waitsAt, file } = wait[language] ?? NONE;
    const lines = code.split("\n").map((text) => {
      const line = document.createElement("code");
      line.textContent = text;
      return line;
    });
    this.#line = lines.find(({ textContent }) => textContent.includes(waitsAt));
    this.#element.querySelector(".file").textContent = `${file ?? FILES[language]}, GET /${wait.path}`;
    this.#element.querySelector(".line").textContent = statement(lines, this.#line);
    this.#element.querySelector("pre").replaceChildren(...lines);
  }

  /** Lights the line on which the handler waits, in the colour of `state`; `null` if it does not wait. */
  light(state) {
    for (const element of [this.#element, this.#line]) {
      if (state) element?.setAttribute("data-state", state);
      else element?.removeAttribute("data-state");
    }
  }
}

/** Returns the text of a line, with the line before it if it begins with a method call on that. */
function statement(lines, line) {
  const text = line.textContent.trim();
  return text.startsWith(".") ? lines[lines.indexOf(line) - 1].textContent.trim() + text : text;
}
