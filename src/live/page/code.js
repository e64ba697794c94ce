// The handler beside the lane, with the line lit on which it waits.

/** Files of the handlers, by language. */
const FILES = { rust: "src/app/endpoints.rs", flask: "originals/flask/app.py", fastapi: "originals/fastapi/app.py" };

/** Shown for an endpoint that a program does not have. */
const NONE = { code: "The article's programs have no such endpoint.", waitsAt: "no such" };

/** The code of the handler of one server. */
export class Code {
  #element;
  #line = null;

  constructor(element) {
    this.#element = element;
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
    this.#element.querySelector("figcaption").textContent = `${file ?? FILES[language]}, GET /${wait.path}`;
    this.#element.querySelector("pre").replaceChildren(...lines);
  }

  /** Lights the line on which the handler waits, in the colour of `state`; `null` if it does not wait. */
  light(state) {
    if (state) this.#line?.setAttribute("data-state", state);
    else this.#line?.removeAttribute("data-state");
  }
}
