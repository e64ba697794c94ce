// The article's experiment, and its result in words.

import { send } from "./request.js";
import { count, duration } from "./format.js";

/** Milliseconds between the first request and GET /dummy. */
export const PAUSE = 500;

/** The quick request in a sentence, without a line break in it. */
const QUICK = "GET\u00a0/dummy";

/** Sends the request of `wait` for `seconds` to `server`, and half a second later GET /dummy. Returns both outcomes. */
async function runOn(server, wait, seconds, responded) {
  const long = send(server, `${wait.path}?seconds=${seconds}`);
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  const short = await send(server, "dummy");
  responded(server, short);
  return { long: await long, short };
}

/**
 * Runs the experiment on both servers at the same time; they share nothing but the machine. Calls
 * `responded(server, outcome)` at each response to GET /dummy.
 */
export async function run([sync, async], wait, seconds, responded) {
  const outcomes = await Promise.all([sync, async].map((server) => runOn(server, wait, seconds, responded)));
  return { wait, seconds, sync: outcomes[0], async: outcomes[1] };
}

/** Milliseconds by which two responses that come at once may differ. */
const NO_DIFFERENCE = 100;

/** Compares the times of GET /dummy, e.g. "750 times sooner"; empty without a clear difference. */
export function timesSooner({ sync, async }) {
  if (sync.short.status !== 200 || async.short.status !== 200) return "";
  if (sync.short.took - async.short.took < NO_DIFFERENCE) return "";
  const factor = Math.round(sync.short.took / async.short.took);
  return factor >= 2 ? `${factor} times sooner` : "";
}

/**
 * Describes the result in sentences. `servers` has the numbers of threads and replicas of each kind of server, and `names`
 * what they are called, the synchronous one first.
 */
export function verdict(outcome, servers, [sync, async]) {
  const sentence = (kind, name) => {
    const { took, status } = outcome[kind].short;
    const result = status === 200 ? `took ${duration(took)}` : "got no response";
    return `${result} on ${name}: ${reason(kind, outcome, servers[kind])}`;
  };
  return `While ${long(outcome.wait)} waited ${count(outcome.seconds, "second")}, ${QUICK} ${sentence("sync", sync)}. It ${sentence("async", async)}.`;
}

/** Explains the time of GET /dummy on the server of one kind, in a clause. */
export function reason(kind, { wait, seconds, ...outcomes }, { threads, replicas }) {
  const { long: first, short } = outcomes[kind];
  if (short.status !== 200) return `it ${failure(short)}`;
  if (first.status !== 200) return `${long(wait)} ${failure(first)}`;
  const hadToWait = short.took > (1000 * seconds - PAUSE) / 2;
  // Without the time in the queue it is estimated. On a busy machine, a request that computes also takes longer.
  const others = (first.queued ?? first.took - 1000 * seconds) > PAUSE;
  if (kind === "sync" && replicas > 1) return ofReplicas(hadToWait, wait, replicas);
  return hadToWait ? late(kind, wait, threads, others) : atOnce(kind, wait, threads);
}

/** Describes a request without a response, or with another status than 200, in a clause. */
function failure({ status, message }) {
  return `failed (${status ?? "no response"}: ${message})`;
}

/** `others`: whether the first request itself had to wait for a thread. */
function late(kind, wait, threads, others) {
  if (others) {
    return threads === 1
      ? `its only thread was held by other requests, besides ${long(wait)}`
      : `its ${threads} threads were all held by other requests`;
  }
  if (threads > 1) return `its ${threads} threads were all held by other requests`;
  if (kind === "async" && !wait.blocksLoop) return "its event loop was busy with something else";
  return `its only thread was ${wait.held}${kind === "async" ? ": the event loop stood still" : ""}`;
}

/** The page knows the threads of one replica only. */
function ofReplicas(hadToWait, wait, replicas) {
  return hadToWait
    ? `its threads, in ${replicas} replicas, were all held by other requests`
    : `it had another thread for it in its ${replicas} replicas, because ${long(wait)} held only one`;
}

function atOnce(kind, wait, threads) {
  if (kind === "async") return threads === 1 ? `its only thread was ${wait.free}` : `one of its ${threads} threads was free`;
  return `it had another of its ${threads} threads for it, because ${long(wait)} held only one`;
}

/** The first request in a sentence, without a line break in it. */
function long(wait) {
  return `GET\u00a0/${wait.path}`;
}
