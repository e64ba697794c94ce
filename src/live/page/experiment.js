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

/** What happened, in a sentence. `threads` is how many each server has. */
export function verdict({ seconds, sync, async }, threads) {
  const clauses = [
    clause("synchronous", sync, seconds, threads.sync),
    clause("asynchronous", async, seconds, threads.async),
  ];
  return `While ${LONG} waited ${count(seconds, "second")}, ${QUICK} was answered ${clauses.join(", and ")}.`;
}

function clause(kind, { long, short }, seconds, threads) {
  const failed = [long, short].find(({ status }) => status !== 200);
  if (failed) return `not as expected by the ${kind} server (${failed.status ?? "no answer"}: ${failed.message})`;
  const after = `after ${duration(short.took)} by the ${kind} server`;
  const hadToWait = short.took > (1000 * seconds - PAUSE) / 2;
  const others = long.took > 1000 * seconds + PAUSE;
  return `${after}, ${hadToWait ? whyLate(kind, threads, others) : whyAtOnce(kind, threads)}`;
}

/** `others` tells whether GET / itself had to wait for a thread. */
function whyLate(kind, threads, others) {
  if (kind === "asynchronous") return "which had other work to do";
  if (threads === 1 && others) return `whose only thread was held by other requests, besides ${LONG}`;
  return threads === 1
    ? `whose only thread was held by ${LONG} all the time, though it did nothing but wait`
    : `whose ${threads} threads were all held by other requests`;
}

function whyAtOnce(kind, threads) {
  if (kind === "asynchronous") {
    return threads === 1
      ? `whose only thread was free, because there ${LONG} waits without a thread`
      : `whose ${threads} threads were free, because there ${LONG} waits without a thread`;
  }
  return `which had another of its ${threads} threads for it, since ${LONG} held only one`;
}
