// The guess before the run: how long GET /dummy takes on the synchronous server.

import { setText } from "./dom.js";
import { duration } from "./format.js";

const slider = document.getElementById("guess");
const output = document.getElementById("guessed");
let made = false;

slider.addEventListener("input", () => {
  made = true;
  setText(output, duration(1000 * slider.valueAsNumber));
});

/** Sets the largest guess, in seconds. */
export function allowGuesses(upTo) {
  slider.max = upTo;
  if (made) setText(output, duration(1000 * slider.valueAsNumber));
}

/** Returns the guess in milliseconds; `null` before one was made. */
export function guess() {
  return made ? 1000 * slider.valueAsNumber : null;
}

/** Compares the guess with the time it took, both in milliseconds. */
export function score(guessed, took) {
  const off = Math.abs(guessed - took);
  const words = off < Math.max(300, took / 10) ? "close" : `${duration(off)} too ${guessed < took ? "short" : "long"}`;
  return `Your guess: ${words}.`;
}
