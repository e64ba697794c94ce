// Numbers as people read them.

/** A time in milliseconds, such as "3 ms" or "4.51 s". */
export function duration(milliseconds) {
  if (milliseconds < 1) return "under 1 ms";
  if (milliseconds < 995) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

/** A part of one, such as "93 %". */
export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** A count with its noun, such as "1 thread" or "3 threads". */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
