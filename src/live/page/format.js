// Numbers as text.

/** Formats milliseconds, e.g. as "3 ms" or "4.51 s". */
export function duration(milliseconds) {
  if (milliseconds < 1) return "under 1 ms";
  if (milliseconds < 995) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

/** Formats a share of 1, e.g. as "93 %". */
export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Formats a count with its noun, e.g. as "1 thread" or "3 threads". */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
