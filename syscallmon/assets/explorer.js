// Saves reloads: asks for the same page again, and changes what differs. All pages work without it.
"use strict";

const PERIOD = 5000;
const DELAY = 200;
const TIMEOUT = 10000;

let isPaused = false;
let asked = 0;
let answered = 0;
let answeredAt = new Date();
let timer = 0;

const main = () => document.getElementById("main");

/** Makes `old` like `fresh`, and keeps what is the same: selection, opened details, what is being typed. */
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.matches("input, select") && old !== document.activeElement) {
    if (old.type === "checkbox") old.checked = fresh.checked;
    else if (old.value !== fresh.value) old.value = fresh.value;
  }
  morphChildren(old, fresh);
}

/** Does the same for what is in both. Rows keep their elements when their order changes. */
function morphChildren(old, fresh) {
  const keyed = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  const skipAdded = (node) => {
    while (node?.dataset?.added) node = node.nextSibling;
    return node;
  };
  let at = skipAdded(old.firstChild);
  for (const child of [...fresh.childNodes]) {
    const same = child.id ? keyed.get(child.id) : at && !at.id && at.nodeName === child.nodeName ? at : null;
    if (!same || same.nodeName !== child.nodeName) {
      old.insertBefore(child, at);
      continue;
    }
    if (same === at) at = skipAdded(at.nextSibling);
    else old.insertBefore(same, at);
    morph(same, child);
  }
  while (at) {
    const next = skipAdded(at.nextSibling);
    at.remove();
    at = next;
  }
}

/** Shows a page of this daemon in place of the current one. */
async function show(url) {
  const number = ++asked;
  let answer, text;
  try {
    answer = await fetch(url, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(TIMEOUT) });
    text = await answer.text();
  } catch {
    // A later request may have succeeded.
    if (number > answered) stale("The daemon does not answer");
    return;
  }
  if (!answer.ok && answer.status !== 404) {
    if (number > answered) stale(`The daemon answers ${answer.status}`);
    return;
  }
  if (number > answered) [answered, answeredAt] = [number, new Date()];
  const fresh = new DOMParser().parseFromString(text, "text/html");
  // A later request has overtaken this one.
  if (number !== asked || !fresh.getElementById("main")) return;
  stale("");
  document.title = fresh.title;
  const focused = document.activeElement;
  for (const id of ["host", "main"]) morph(document.getElementById(id), fresh.getElementById(id));
  decorate();
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Says that the page is old, until it is not. The next answer restores the status line. */
function stale(text) {
  let note = document.getElementById("stale");
  const state = document.querySelector("#host summary span");
  if (text && state) {
    state.className = "bad";
    state.textContent = `${text} (last answer: ${answeredAt.toLocaleTimeString()})`;
  }
  if (!text) {
    note?.remove();
  } else if (!note) {
    note = document.createElement("p");
    note.id = "stale";
    note.className = "notice";
    note.setAttribute("role", "alert");
    note.textContent = `${text}. The page shows its last answer.`;
    main().before(note);
  }
}

function go(url, isReplaced) {
  if (isReplaced) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  show(url);
}

/** Returns the address that a form would lead to, without empty fields. */
function addressOf(form) {
  const url = new URL(form.action);
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  url.search = new URLSearchParams(given).toString();
  return url.href;
}

/** Adds the buttons that need a script. */
function decorate() {
  for (const pre of document.querySelectorAll("pre.copy:not(.has-button)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.added = "1";
    button.textContent = "Copy";
    button.addEventListener("click", () => copy(pre, button));
    pre.classList.add("has-button");
    pre.append(button);
  }
}

/** Copies a text, or selects it where the browser does not let pages copy: without TLS. */
async function copy(pre, button) {
  const code = pre.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

/** Whether a person is just reading or copying: then nothing moves. */
function isBusy() {
  const selection = getSelection();
  return isPaused || document.hidden || (selection && !selection.isCollapsed && main().contains(selection.anchorNode));
}

function addPause() {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "pause";
  button.setAttribute("aria-pressed", "false");
  button.textContent = "Pause updates";
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    button.setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) show(location.href);
  });
  document.querySelector("header").append(button);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(link.href, false);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-swap]")) return;
  event.preventDefault();
  clearTimeout(timer);
  go(addressOf(event.target), true);
});

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-swap]");
  if (!form) return;
  clearTimeout(timer);
  timer = setTimeout(() => go(addressOf(form), true), DELAY);
});

addEventListener("popstate", () => show(location.href));

document.addEventListener("visibilitychange", () => { if (!isBusy()) show(location.href); });

addPause();
decorate();
setInterval(() => { if (!isBusy()) show(location.href); }, PERIOD);
