// What the buttons do. Each calls one endpoint of the API, says in words what came of it, and brings
// the page up to date: parts marked data-live are taken from a fresh copy of the page.
"use strict";

const API = "/functions/v1/";
const FINAL = ["SUCCESS", "FAILURE", "CANCELED"];
const POLL_MS = 1000;
const REFRESH_MS = 60000;

class Refusal extends Error {}

const number = (value) => value.toLocaleString("en-US");
const events = (count, kind = "") => `${number(count)} ${kind}event${count === 1 ? "" : "s"}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(path, request = {}) {
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Refusal("The server does not answer. Is it running?");
  }
  if (response.status === 401) throw new Refusal("You are signed out. Load the page again to sign in.");
  return response;
}

async function call(path, body) {
  const response = await ask(path, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(`It did not work: ${answer.error || response.status}.`);
  return { status: response.status, answer };
}

// A run that takes longer than an answer should is asked for until it ends.
async function run(path, body, tell) {
  const { status, answer } = await call(path, body);
  if (status !== 202) return answer;
  tell("Still at it. The run goes on even if you leave this page.");
  // Its result comes a moment after its end; one that never comes was lost with its server.
  for (let looksAfterEnd = 0; looksAfterEnd < 5; ) {
    await pause(POLL_MS);
    const found = (await call(answer.status_url)).answer;
    if (found.error) throw new Refusal(`It did not work: ${found.error}`);
    if (found.result) return { ...found.result, run_id: found.run_id };
    if (FINAL.includes(found.status)) looksAfterEnd += 1;
  }
  throw new Refusal("The run has ended, and what it gave is not known here: see Recent runs.");
}

// --- words ---

// Events at their first attempt are no failed events: the answer counts them apart.
function retryWords(totals) {
  const parts = [];
  if (totals.resolved) parts.push(`${number(totals.resolved)} delivered`);
  if (totals.failed) parts.push(`${number(totals.failed)} will be tried again`);
  if (totals.dead_lettered) parts.push(`${number(totals.dead_lettered)} given up`);
  const held = (totals.paused || 0) + (totals.throttled || 0);
  const sentences = [];
  if (totals.processed) sentences.push(`Tried ${events(totals.processed)}: ${parts.join(", ")}.`);
  if (held) sentences.push(`${events(held)} wait: their destination takes none just now.`);
  if (totals.withheld) sentences.push(`${events(totals.withheld)} withheld: they are not to be sent.`);
  if (totals.postponed) sentences.push(`${events(totals.postponed)} wait for their own time.`);
  const [sent, unsent] = [totals.accepted_delivered || 0, totals.accepted_waiting || 0];
  if (sent) sentences.push(`${events(sent, "new ")} delivered at the first attempt.`);
  if (unsent) sentences.push(`${events(unsent, "new ")} not sent yet.`);
  return sentences.join(" ") || "There was nothing that could be sent.";
}

function replayWords(totals) {
  const back = `${events(totals.replayed)} put back into the queue.`;
  const held = totals.held_back
    ? ` ${number(totals.held_back)} held back: the first ones of their kind were refused again.`
    : "";
  const over = totals.minutes >= 1 ? ` They are sent over about ${Math.ceil(totals.minutes)} min.` : "";
  return back + held + (totals.replayed ? over : "");
}

const FORECAST = [
  ["sent", "will be sent"],
  ["waits", "will wait: the destination takes none just now"],
  ["withheld", "will be withheld: they are not to be sent"],
  ["expired", "are too old for the destination and come back"],
  ["refused", "will be refused again"],
  ["already_delivered", "arrived another way and are left alone"],
];

function checkWords(found) {
  const news = [];
  const created = found.alerts_created;
  if (created) news.push(`${created} new alert${created === 1 ? "" : "s"}`);
  if (found.alerts_resolved) news.push(`${found.alerts_resolved} over`);
  return `Checked: ${news.join(", ") || "no new alert"}.`;
}

// --- the page ---

function say(element, text, { failed = false, runId = "" } = {}) {
  element.toggleAttribute("data-failed", failed);
  element.textContent = text;
  if (runId) element.append(" ", runLink(runId));
}

function runLink(runId) {
  const link = document.createElement("a");
  link.href = `${document.body.dataset.dagster}/runs/${runId}`;
  link.textContent = "See the run";
  return link;
}

const news = document.getElementById("news");
let live = true;

// What cannot be brought up to date says so, to the eye too, until it can again.
async function refresh() {
  try {
    await takeFresh();
    if (!live) showLive(true, "The page is live again.");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (live) showLive(false, `This page is no longer live. ${error.message}`);
  }
}

function showLive(isLive, text) {
  live = isLive;
  news.className = isLive ? "unseen" : "card";
  news.textContent = text;
}

async function takeFresh() {
  const response = await ask(location.href);
  if (!response.ok) throw new Refusal("It cannot be brought up to date. Load it again.");
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!next || next.outerHTML === part.outerHTML) continue;
    if (part.dataset.live === "status" && next.dataset.level !== part.dataset.level) {
      news.textContent = next.querySelector("h1").textContent;
    }
    const hadFocus = part.contains(document.activeElement);
    part.replaceWith(next);
    if (hadFocus) next.closest("section")?.querySelector("h2")?.focus();
  }
  document.title = fresh.title;
}

// One deed at a time for each button; what came of it is said in the button's own section.
async function perform(button, deed) {
  if (button.ariaDisabled === "true") return;
  const result = button.closest("section").querySelector("[data-result]");
  button.ariaDisabled = "true";
  try {
    const done = await deed((text) => say(result, text));
    say(result, done.words, { runId: done.runId });
    await refresh();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(result, error.message, { failed: true });
  } finally {
    button.ariaDisabled = null;
  }
}

function alertDeed(action, done, more = () => ({})) {
  return (button) =>
    perform(button, async () => {
      const alert = button.closest("[data-alert]");
      const title = alert.querySelector("h3").firstChild.textContent.trim();
      const { answer } = await call(`${API}alerts/${action}`, {
        types: [alert.dataset.alert],
        ...more(alert),
      });
      return { words: answer.changed.length ? `${title}: ${done}.` : `${title}: it is over already.` };
    });
}

const DEEDS = {
  acknowledge: alertDeed("acknowledge", "acknowledged"),
  resolve: alertDeed("resolve", "resolved. If it is still bad, the next check raises it again"),
  silence: alertDeed("silence", "silenced", (alert) => ({
    hours: Number(alert.querySelector("select").value),
  })),
  unsilence: alertDeed("silence", "no longer silenced", () => ({ hours: 0 })),

  retry: (button) =>
    perform(button, async (tell) => {
      tell("Sending what waits…");
      const totals = await run(`${API}admin-retry-failed-events`, { retryAll: true }, tell);
      return { words: retryWords(totals), runId: totals.run_id };
    }),

  check: (button) =>
    perform(button, async (tell) => {
      tell("Checking…");
      const found = await run(`${API}check-tracking-health`, {}, tell);
      return { words: checkWords(found), runId: found.run_id };
    }),

  replay: (button) => replay(button),
};

// --- replay: a dry run first, then a word of consent ---

const dialog = document.getElementById("replay");
const outcome = dialog.querySelector("[data-outcome]");
const confirm = dialog.querySelector("[data-confirm]");
const close = dialog.querySelector("[data-close]");
let turns = 0;

// Consent is to the forecast that is shown: nothing that an earlier dialog still waits for may touch
// this one.
function beginTurn() {
  const turn = ++turns;
  confirm.onclick = null;
  confirm.hidden = true;
  confirm.ariaDisabled = null;
  return () => turn === turns && dialog.open;
}

async function replay(button) {
  const order = JSON.parse(button.dataset.order);
  const result = button.closest("section").querySelector("[data-result]");
  const isCurrent = beginTurn();
  const tell = (text) => isCurrent() && outcome.replaceChildren(paragraph(text));
  close.textContent = "Cancel";
  dialog.returnValue = "";
  dialog.showModal();
  dialog.querySelector("h2").focus();
  tell("Finding out what would happen. Nothing is changed yet…");
  try {
    const totals = await run(`${API}admin-replay-dead-letters`, { ...order, dry_run: true }, tell);
    if (isCurrent()) showForecast(totals, () => putBack(order, result, tell, isCurrent));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell(error.message);
  }
}

function showForecast(totals, consented) {
  const left = totals.matched - totals.already_delivered;
  if (!left) {
    outcome.replaceChildren(paragraph("None of them is left to replay."));
    return;
  }
  const sums = document.createElement("dl");
  sums.className = "sums";
  for (const [name, words] of FORECAST) {
    if (totals[name]) sums.append(...term(words, totals[name]));
  }
  outcome.replaceChildren(paragraph(`Of ${events(totals.matched)}:`), sums);
  if (totals.may_count_twice) {
    const twice = `${events(totals.may_count_twice)} may count twice: they are older than the 48 hours`;
    outcome.append(paragraph(`${twice} in which Meta recognises a copy.`));
  }
  const pace = `${number(totals.events_per_minute)} a minute for each destination`;
  outcome.append(paragraph(`A few of each kind go first; the others follow at ${pace}.`));
  confirm.textContent = `Replay ${events(left)}`;
  confirm.onclick = consented;
  confirm.hidden = false;
}

// What came of it is said in the section too: the dialog may be closed by then.
async function putBack(order, result, tell, isCurrent) {
  if (confirm.ariaDisabled === "true") return;
  confirm.ariaDisabled = "true";
  tell("Putting them back…");
  say(result, "Putting them back…");
  try {
    const totals = await run(`${API}admin-replay-dead-letters`, { ...order, dry_run: false }, tell);
    tell(replayWords(totals));
    say(result, replayWords(totals), { runId: totals.run_id });
    if (isCurrent()) {
      confirm.hidden = true;
      close.textContent = "Close";
      close.focus();
    }
    await refresh();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell(error.message);
    say(result, error.message, { failed: true });
  } finally {
    if (isCurrent()) confirm.ariaDisabled = null;
  }
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

function term(words, count) {
  const [name, value] = [document.createElement("dt"), document.createElement("dd")];
  name.textContent = words;
  value.textContent = number(count);
  return [value, name];
}

// --- listening ---

close.addEventListener("click", () => dialog.close());
// The event comes late: the next dialog may be open already.
dialog.addEventListener("close", () => dialog.open || beginTurn());

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) DEEDS[button.dataset.do](button);
});

// Never under somebody's hands: not while a dialog is open or a part that would change has the focus.
setInterval(() => {
  const busy = dialog.open || document.activeElement?.closest("[data-live]");
  if (document.hidden || busy || !document.getElementById("every-minute").checked) return;
  refresh();
}, REFRESH_MS);
