// Asks for the page again and again, and puts what is new of it in place, so that nothing jumps, closes or loses what is selected.
"use strict";
const EVERY = 2000;
const updated = document.getElementById("updated");
let tag = null;
let answered = Date.now();
let next = null;

function say() {
  const time = new Date(answered).toLocaleTimeString();
  const late = Date.now() - answered > (document.hidden ? 30 : 4) * EVERY;
  const text = late ? `no answer since ${time}: has ffn watch ended?` : `as of ${time}`;
  if (updated.textContent !== text) updated.textContent = text;
  updated.classList.toggle("late", late);
}

// Makes an element what another one is, and leaves every part alone that is so already.
function become(now, then) {
  if (now.isEqualNode(then)) return;
  const alike = now.nodeName === then.nodeName && now.childNodes.length === then.childNodes.length;
  if (now.nodeType === Node.TEXT_NODE && then.nodeType === Node.TEXT_NODE) {
    now.data = then.data;
  } else if (!alike || now.nodeType !== Node.ELEMENT_NODE || now.nodeName === "svg") {
    now.replaceWith(document.importNode(then, true));
  } else {
    for (const { name } of [...now.attributes]) {
      // Whoever opened it wants it open.
      if (!then.hasAttribute(name) && name !== "open") now.removeAttribute(name);
    }
    for (const { name, value } of then.attributes) {
      if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
    [...now.childNodes].forEach((child, i) => become(child, then.childNodes[i]));
  }
}

function put(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const then = page.querySelector("main");
  if (!then) return;
  const boxes = [...document.querySelectorAll("pre.log")];
  const atEnd = boxes.map((box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 4);
  const main = document.querySelector("main");
  const parts = Math.min(main.childNodes.length, then.childNodes.length);
  const children = [...main.childNodes];
  for (let i = 0; i < parts; i++) become(children[i], then.childNodes[i]);
  children.slice(parts).forEach((child) => child.remove());
  [...then.childNodes].slice(parts).forEach((child) => main.append(document.importNode(child, true)));
  document.querySelectorAll("pre.log").forEach((box, i) => {
    if (atEnd[i] !== false) box.scrollTo(box.scrollLeft, box.scrollHeight);
  });
  document.title = page.title;
}

async function ask() {
  clearTimeout(next);
  try {
    const answer = await fetch(location.href, {
      headers: tag ? { "If-None-Match": tag } : {},
      cache: "no-store",
      signal: AbortSignal.timeout(5 * EVERY),
    });
    if ([200, 404, 500].includes(answer.status)) {
      tag = answer.headers.get("ETag");
      put(await answer.text());
    }
    answered = Date.now();
  } catch {
    // It is told as late.
  }
  say();
  clearTimeout(next);
  next = setTimeout(ask, document.hidden ? 10 * EVERY : EVERY);
}

document.querySelectorAll("pre.log").forEach((box) => box.scrollTo(0, box.scrollHeight));
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
setInterval(say, EVERY);
ask();
