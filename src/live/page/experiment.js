// The article's experiment, and its result in one sentence.

import { send } from "./request.js";
import { count, duration } from "./format.js";

/** Milliseconds between GET / and GET /dummy. */
const PAUSE = 500;

/** Names of the requests in a sentence, without line breaks in them. */
const LONG = "GET\u00a0/";
const QUICK = "GET\u00a0/dummy";

/** Sends GET /, which waits `seconds`, to `server`, and half a second later GET /dummy. Returns both outcomes. */
async function runOn(server, seconds, responded) {
  const long = send(server, `?seconds=${seconds}`);
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  const short = await send(server, "dummy");
  responded(server, short);
  return { long: await long, short };
}

/**
 * Runs the experiment on both servers at the same time; they share nothing but the machine. Calls
 * `responded(server, outcome)` at each response to GET /dummy.
 */
export async function run(seconds, responded) {
  const [sync, async] = await Promise.all(["sync", "async"].map((server) => runOn(server, seconds, responded)));
  return { seconds, sync, async };
}

/** Compares the times of GET /dummy, e.g. "750 times sooner"; empty without a clear difference. */
export function timesSooner({ sync, async }) {
  if (sync.short.status !== 200 || async.short.status !== 200) return "";
  const factor = Math.round(sync.short.took / async.short.took);
  return factor >= 2 ? `${factor} times sooner` : "";
}

/** Describes the result in a sentence. `servers` are their histories, for the number of threads and replicas. */
export function verdict({ seconds, sync, async }, servers) {
  const clauses = [
    clause("synchronous", sync, seconds, servers.sync),
    clause("asynchronous", async, seconds, servers.async),
  ];
  return `While ${LONG} waited ${count(seconds, "second")}, ${QUICK} ${clauses.join(", and ")}.`;
}

function clause(kind, { long, short }, seconds, { threads, replicas }) {
  const failed = [long, short].find(({ status }) => status !== 200);
  if (failed) return `failed on the ${kind} server (${failed.status ?? "no response"}: ${failed.message})`;
  const took = `took ${duration(short.took)} on the ${kind} server`;
  const hadToWait = short.took > (1000 * seconds - PAUSE) / 2;
  const others = long.took > 1000 * seconds + PAUSE;
  if (kind === "synchronous" && replicas > 1) return `${took}, ${whyOfReplicas(hadToWait, replicas)}`;
  return `${took}, ${hadToWait ? whyLate(kind, threads.length, others) : whyAtOnce(kind, threads.length)}`;
}

/** `others`: whether GET / itself had to wait for a thread. */
function whyLate(kind, threads, others) {
  if (kind === "asynchronous") return "whose event loop was busy";
  if (threads === 1 && others) return `whose only thread was held by other requests, besides ${LONG}`;
  return threads === 1
    ? `whose only thread was held by ${LONG}, although that only waited`
    : `whose ${threads} threads were all held by other requests`;
}

/** The page knows the threads of one replica only. */
function whyOfReplicas(hadToWait, replicas) {
  return hadToWait
    ? `whose threads, in ${replicas} replicas, were all held by other requests`
    : `which had another thread for it in its ${replicas} replicas, because ${LONG} held only one`;
}

function whyAtOnce(kind, threads) {
  if (kind === "asynchronous") {
    return threads === 1
      ? `whose only thread was free, because ${LONG} waits there without a thread`
      : `whose ${threads} threads were free, because ${LONG} waits there without a thread`;
  }
  return `which had another of its ${threads} threads for it, because ${LONG} held only one`;
}
