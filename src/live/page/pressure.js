// CPU pressure of the machine, so that a busy machine is not taken for a slow server.

import { percent } from "./format.js";

/** Pressure from which on the machine counts as busy. */
const BUSY = 0.4;

/** Says that the machine is busy; empty if it is not, or if that is not known. */
export function warning(pressure) {
  if (pressure === null || pressure < BUSY) return "";
  return `The machine is busy: a thread had to wait for a CPU in ${percent(pressure)} of the last 10 s, so all times may be longer.`;
}
