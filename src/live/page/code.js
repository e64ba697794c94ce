// The handler beside the lane, with the line lit on which it waits.

/** Files of the handlers, by language. */
const FILES = { rust: "src/app/endpoints.rs", flask: "originals/flask/app.py", fastapi: "originals/fastapi/app.py" };

/** The code of the handler of one server. */
export class Code {
  #element;
  #line = null;

  constructor(element) {
    this.#element = element;
  }

  /** Shows the handler of `wait` in `language`. */
  show(wait, language) {
    const { code, waitsAt } = wait[language];
    const lines = code.split("\n").map((text) => {
      const line = document.createElement("code");
      line.textContent = text;
      return line;
    });
    this.#line = lines.find(({ textContent }) => textContent.includes(waitsAt));
    this.#element.querySelector("figcaption").textContent = `${FILES[language]}, GET /${wait.path}`;
    this.#element.querySelector("pre").replaceChildren(...lines);
  }

  /** Lights the line on which the handler waits, in the colour of `state`; `null` if it does not wait. */
  light(state) {
    if (state) this.#line.dataset.state = state;
    else delete this.#line.dataset.state;
  }
}
