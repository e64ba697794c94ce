// The article's experiment, and what came of it in one sentence.

import { ask } from "./ask.js";
import { count, duration } from "./words.js";

/** How long after GET / the experiment asks for GET /dummy, in milliseconds. */
const PAUSE = 500;

/** Their names in a sentence, which is not to break within them. */
const LONG = "GET\u00a0/";
const QUICK = "GET\u00a0/dummy";

/**
 * Asks `server` for GET /, which waits `seconds`, and half a second later for GET /dummy. Returns the
 * outcomes of both.
 */
async function runOn(server, seconds) {
  const long = ask(server, `?seconds=${seconds}`);
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  const short = await ask(server, "dummy");
  return { long: await long, short };
}

/** Runs the experiment on both servers at once, which share nothing but the machine. */
export async function run(seconds) {
  const [sync, async] = await Promise.all([runOn("sync", seconds), runOn("async", seconds)]);
  return { seconds, sync, async };
}

/** What happened, in a sentence. `servers` are their histories, which tell how many threads and replicas there are. */
export function verdict({ seconds, sync, async }, servers) {
  const clauses = [
    clause("synchronous", sync, seconds, servers.sync),
    clause("asynchronous", async, seconds, servers.async),
  ];
  return `While ${LONG} waited ${count(seconds, "second")}, ${QUICK} was answered ${clauses.join(", and ")}.`;
}

function clause(kind, { long, short }, seconds, { threads, replicas }) {
  const failed = [long, short].find(({ status }) => status !== 200);
  if (failed) return `not as expected by the ${kind} server (${failed.status ?? "no answer"}: ${failed.message})`;
  const after = `after ${duration(short.took)} by the ${kind} server`;
  const hadToWait = short.took > (1000 * seconds - PAUSE) / 2;
  const others = long.took > 1000 * seconds + PAUSE;
  if (kind === "synchronous" && replicas > 1) return `${after}, ${whyOfReplicas(hadToWait, replicas)}`;
  return `${after}, ${hadToWait ? whyLate(kind, threads.length, others) : whyAtOnce(kind, threads.length)}`;
}

/** `others` tells whether GET / itself had to wait for a thread. */
function whyLate(kind, threads, others) {
  if (kind === "asynchronous") return "which had other work to do";
  if (threads === 1 && others) return `whose only thread was held by other requests, besides ${LONG}`;
  return threads === 1
    ? `whose only thread was held by ${LONG} all the time, though it did nothing but wait`
    : `whose ${threads} threads were all held by other requests`;
}

/** The page sees the threads of one of them only. */
function whyOfReplicas(hadToWait, replicas) {
  return hadToWait
    ? `whose threads, in ${replicas} replicas, were all held by other requests`
    : `which had another thread for it in its ${replicas} replicas, since ${LONG} held only one`;
}

function whyAtOnce(kind, threads) {
  if (kind === "asynchronous") {
    return threads === 1
      ? `whose only thread was free, because there ${LONG} waits without a thread`
      : `whose ${threads} threads were free, because there ${LONG} waits without a thread`;
  }
  return `which had another of its ${threads} threads for it, since ${LONG} held only one`;
}
