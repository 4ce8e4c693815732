// Small additions to the theme's pages. Each page reads well without them.
"use strict";

// ---- folded cells say what is inside, to the eye and to a screen reader alike ----
function labelFoldedCells() {
  for (const summary of document.querySelectorAll("details.hide > summary")) {
    summary.removeAttribute("aria-label"); // "Toggle hidden content" would hide the text itself
    const solution = summary.closest(".cell.tag_solution");
    const setup = summary.closest(".cell.tag_setup");
    if (!solution && !setup) continue;
    const what = solution ? "solution" : "set-up cell";
    for (const [state, verb] of [["collapsed", "Show"], ["expanded", "Hide"]]) {
      const text = summary.querySelector(`.${state}`);
      if (text) text.textContent = `${verb} the ${what}`;
    }
  }
}

// ---- the arrow that opens a part of the contents says which ----
function labelContents() {
  for (const summary of document.querySelectorAll(".bd-links details > summary")) {
    const name = summary.closest("li").querySelector(":scope > a").textContent.trim();
    summary.setAttribute("aria-label", `Pages below ${name}`);
  }
}

// ---- what the check of an exercise says is prose: book.css lets it wrap ----
function markAnswers() {
  for (const output of document.querySelectorAll(".cell_output pre")) {
    if (/^(Not yet|Correct): /.test(output.textContent)) output.classList.add("answer");
  }
}

// ---- a formula within a line that is wider than the screen gets a line, and a scroll box, of its own ----
function wrapWideFormulas() {
  for (const formula of document.querySelectorAll(".bd-article mjx-container:not([display])")) {
    formula.classList.remove("wide");
    const line = formula.closest("p, li, dd, td, th, h1, h2, h3");
    if (!line || line.matches("td, th")) continue; // a table scrolls as a whole
    if (formula.getBoundingClientRect().width > line.getBoundingClientRect().width) formula.classList.add("wide");
  }
}

// ---- a box that scrolls can be scrolled with the keyboard ----
function makeScrollBoxesReachable() {
  const boxes = "pre, .pst-scrollable-table-container, div.math, .cell_output .output, mjx-container[display]";
  for (const box of document.querySelectorAll(`.bd-article :is(${boxes})`)) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
    if (scrolls) box.setAttribute("tabindex", "0");
  }
}

// ---- how far one has come: a box at the end of each page, a tick in the contents; kept in this browser only ----
const KEY = "attention-tested:read";
const root = new URL(document.documentElement.dataset.content_root || "./", document.baseURI);

function pageName(url) {
  const address = new URL(url, document.baseURI);
  return address.href.replace(/[#?].*$/, "").slice(root.href.length);
}

function readPages() {
  try {
    return new Set(JSON.parse(localStorage.getItem(KEY) || "[]"));
  } catch {
    return new Set(); // storage is switched off, or holds something else
  }
}

function showTicks(pages) {
  for (const link of document.querySelectorAll(".bd-links .toctree-l1 > a.reference.internal")) {
    link.querySelector(".read-tick")?.remove();
    if (!pages.has(pageName(link.href))) continue;
    const tick = document.createElement("span");
    tick.className = "read-tick";
    tick.innerHTML = '<span aria-hidden="true">✓</span><span class="visually-hidden"> (read)</span>';
    link.append(tick);
  }
}

function addReadBox() {
  const place = document.querySelector(".prev-next-footer");
  const page = pageName(document.location.href);
  const inContents = [...document.querySelectorAll(".bd-links .toctree-l1 > a.reference.internal")].some(
    (link) => pageName(link.href) === page,
  );
  if (!place || !inContents) return;
  const label = document.createElement("label");
  label.className = "read-box d-print-none";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = readPages().has(page);
  box.addEventListener("change", () => {
    const pages = readPages();
    if (box.checked) pages.add(page);
    else pages.delete(page);
    try {
      localStorage.setItem(KEY, JSON.stringify([...pages].sort()));
    } catch {
      // Nothing can be kept: the tick lasts as long as the page.
    }
    showTicks(pages);
  });
  label.append(box, "I have read this page");
  place.before(label);
}

labelFoldedCells();
labelContents();
markAnswers();
addReadBox();
showTicks(readPages());

function fit() {
  wrapWideFormulas();
  makeScrollBoxesReachable();
}
window.addEventListener("load", () => {
  fit();
  window.MathJax?.startup?.promise?.then(fit);
});
window.addEventListener("resize", fit);
document.addEventListener("toggle", fit, true); // what was folded has a size only now
