// Asks for the page again and again, and puts what is new of it in place, so that nothing jumps or closes.
"use strict";
const EVERY = 2000;
const updated = document.getElementById("updated");
let tag = null;
let answered = Date.now();

function say() {
  const time = new Date(answered).toLocaleTimeString();
  const late = Date.now() - answered > 3 * EVERY;
  updated.textContent = late ? `no answer since ${time}: has ffn watch ended?` : `as of ${time}`;
  updated.classList.toggle("late", late);
}

function put(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const [now, next] = [document.querySelector("main"), page.querySelector("main")];
  if (!next) return;
  const open = [...now.querySelectorAll("details")].map((d) => d.open);
  const boxes = [...now.querySelectorAll("pre, section")].map((box) => {
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
    return [box.scrollLeft, atEnd && box.tagName === "PRE" ? Infinity : box.scrollTop];
  });
  now.replaceWith(document.adoptNode(next));
  next.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? d.open; });
  next.querySelectorAll("pre, section").forEach((box, i) => {
    if (boxes[i]) box.scrollTo(boxes[i][0], Math.min(boxes[i][1], box.scrollHeight));
  });
  document.title = page.title;
}

async function ask() {
  try {
    const answer = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.status === 200 || answer.status === 404 || answer.status === 500) {
      tag = answer.headers.get("ETag");
      put(await answer.text());
    }
    answered = Date.now();
  } catch {
    // It is told as late.
  }
  say();
  setTimeout(ask, document.hidden ? 10 * EVERY : EVERY);
}

document.querySelectorAll("pre").forEach((box) => box.scrollTo(0, box.scrollHeight));
document.addEventListener("visibilitychange", say);
ask();
