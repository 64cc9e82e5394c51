"use strict";
// Controls of the tree, and staying where one is when the page is rewritten under the reader.
const KEPT = `replaytree:${location.pathname}`;
const one = (selector) => document.querySelector(selector);

function showFound(text) {
  const found = findPlaces(text, 8);
  const none = text.trim() ? [make("li", {}, make("p", {}, "No stored prefix matches"))] : [];
  one("#found").replaceChildren(...(found.length ? found.map((place) => make("li", {},
    make("button", { type: "button", onclick: () => goTo(place) }, labelsOf(place),
      make("span", {}, numberText(columns.average[place]))))) : none));
  return found;
}

function goTo(place) {
  one("#found").replaceChildren();
  choose(place, true);
}

function setView(view) {
  state.view = view;
  document.querySelectorAll("[data-view]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.view === view)));
  one("#icicle-stage").hidden = view !== "icicle";
  one("#network-stage").hidden = view !== "network";
  one("#crumbs").style.visibility = view === "icicle" ? "" : "hidden";
  if (view === "network") drawFigure(one("[data-figure=network]"));
  else refresh();
}

// Where a figure's meta says that its marks are nodes, they carry places of the columns, or nodes' numbers.
function onNode(element) {
  const meta = payload.figures[element.dataset.figure].layout.meta;
  const placeOf = meta && { places: (mark) => mark, nodes: placeAt }[meta.marks];
  if (!tree || !placeOf || element.dataset.listening) return;
  element.dataset.listening = "true";
  element.on("plotly_click", (event) => {
    const mark = event.points[0].customdata;
    if (mark === undefined || mark === null || placeOf(mark) < 0) return;
    choose(placeOf(mark), true);
    if (!one("#tree").contains(element)) one("#tree").scrollIntoView();
  });
}

function kindChips() {
  one("#kinds").replaceChildren(...tree.kinds.map((kind, index) => make("button", {
    type: "button", "data-kind": kind, "aria-pressed": String(!state.hidden.has(index)), onclick: (event) => {
      if (state.hidden.has(index)) state.hidden.delete(index);
      else state.hidden.add(index);
      event.target.setAttribute("aria-pressed", String(!state.hidden.has(index)));
      refresh();
    } }, kind)));
}

function listen() {
  one("#icicle-stage").addEventListener("keydown", byKeyboard);
  one("#least").addEventListener("input", (event) => {
    state.least = Math.max(1, Math.floor(Number(event.target.value)) || 1);
    refresh();
  });
  one("#find").addEventListener("input", (event) => showFound(event.target.value));
  one("#find").addEventListener("keydown", (event) => {
    if (event.key === "Escape") one("#found").replaceChildren();
    if (event.key !== "Enter") return;
    const found = showFound(event.target.value);
    if (found.length) goTo(found[0]);
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".found")) one("#found").replaceChildren();
  });
  document.querySelectorAll("[data-view]").forEach((button) => button.addEventListener("click", () => setView(button.dataset.view)));
  one("#show-best").addEventListener("click", () => choose(bestPlace, bestPath.size > levelsDrawn()));
  darkScheme.addEventListener("change", () => state.view === "icicle" && drawIcicle());
  addEventListener("hashchange", fromHash);
  addEventListener("pagehide", keep);
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => state.view === "icicle" && drawIcicle(), 150);
  });
}

// #node=12 is an address that can be passed on.
function fromHash() {
  const found = location.hash.match(/^#node=(\d+)$/);
  if (!found || !placeOfId.has(Number(found[1]))) return;
  setView("icicle");
  choose(placeOfId.get(Number(found[1])), true);
  one("#tree").scrollIntoView();
}

const idAt = (place) => (place === ROOT ? null : columns.id[place]);
const placeAt = (id) => (id !== null && placeOfId.has(id) ? placeOfId.get(id) : ROOT);

function keep() {
  const kept = { y: scrollY, focus: document.activeElement ? document.activeElement.id : "",
    details: [...document.querySelectorAll("details")].map((element) => element.open) };
  if (tree) {
    Object.assign(kept, { root: idAt(state.root), chosen: idAt(state.chosen), least: state.least, view: state.view,
      hidden: [...state.hidden].map((index) => tree.kinds[index]), find: one("#find").value, panel: one("#panel").scrollTop });
  }
  try { sessionStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* A reader may have storage switched off. */ }
}

function kept() {
  const reloaded = performance.getEntriesByType("navigation").some((entry) => entry.type === "reload");
  try { return reloaded ? JSON.parse(sessionStorage.getItem(KEPT)) : null; } catch { return null; }
}

function start() {
  const before = kept();
  if (tree) {
    if (before && before.chosen !== undefined) {
      Object.assign(state, { root: placeAt(before.root), chosen: placeAt(before.chosen), least: before.least });
      state.hidden = new Set(before.hidden.map((kind) => tree.kinds.indexOf(kind)).filter((index) => index >= 0));
      one("#find").value = before.find;
    }
    one("#least").value = String(state.least);
    const half = tree.colours.length / 2;
    one("#ramp-low").style.background = `linear-gradient(90deg, ${tree.colours.slice(0, half).join(",")})`;
    one("#ramp-high").style.background = `linear-gradient(90deg, ${tree.colours.slice(half).join(",")})`;
    kindChips();
    listen();
    refresh();
    if (before && before.view === "network") setView("network");
    if (!before) fromHash();
  }
  addCopyButtons();
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
  if (before) putBack(before);
  setTimeout(drawWaiting, 0);
}

function putBack(before) {
  document.querySelectorAll("details").forEach((element, at) => { element.open = Boolean(before.details[at]); });
  if (before.focus && document.getElementById(before.focus)) document.getElementById(before.focus).focus({ preventScroll: true });
  if (tree) one("#panel").scrollTop = before.panel || 0;
  scrollTo({ top: before.y, behavior: "instant" });
}

const refreshSeconds = Number(document.documentElement.dataset.refreshSeconds || 0);
if (refreshSeconds) {
  history.scrollRestoration = "manual";
  setInterval(() => { if (!document.hidden) { keep(); location.reload(); } }, refreshSeconds * 1000);
}
start();
