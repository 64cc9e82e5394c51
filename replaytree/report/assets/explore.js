"use strict";
// The icicle: only what can be seen is given to Plotly, a few levels below one node, with thin slices put together.
const state = { root: ROOT, chosen: ROOT, hidden: new Set(), least: 1, view: "icicle" };
const THINNEST = 1 / 300;
const MOST_SLICES = 420;
let slices = [];

const bestPlace = tree && tree.best !== null ? placeOfId.get(tree.best) : ROOT;
const bestPath = new Set(tree && bestPlace !== ROOT ? pathOf(bestPlace) : []);
const MOST_LEVELS = 8;

const narrow = () => document.getElementById("icicle").clientWidth < 560;
const passes = (place) =>
  columns.visits[place] >= state.least && !state.hidden.has(tree.kindOf[columns.label[place]]);

/** As many as it takes to show the best prefix from the root, where so many fit. */
function levelsDrawn() {
  return Math.max(narrow() ? 3 : 5, Math.min(bestPath.size, narrow() ? 5 : MOST_LEVELS));
}

/** Slices of the drawing: {key, parent, place, label, visits, average}; `place` of a put-together slice is null. */
function visibleSlices() {
  const levels = levelsDrawn();
  const total = Math.max(1, visitsOf(state.root));
  const found = [{ key: "root", parent: "", place: state.root, label: state.root === ROOT ? tree.metric.items : labelOf(state.root), visits: total,
    average: state.root === ROOT ? -1 : columns.average[state.root] }];
  let level = [{ place: state.root, key: "root" }];
  for (let depth = 0; depth < levels; depth += 1) {
    const next = [];
    for (const { place, key } of level) {
      const kids = kidsOf(place).filter(passes);
      const thick = kids.filter((kid) => bestPath.has(kid) || columns.visits[kid] / total >= THINNEST);
      for (const kid of thick) {
        if (found.length >= MOST_SLICES && !bestPath.has(kid)) continue;
        found.push({ key: String(kid), parent: key, place: kid, label: labelOf(kid), visits: columns.visits[kid],
          average: columns.average[kid] });
        next.push({ place: kid, key: String(kid) });
      }
      const drawn = new Set(next.map((item) => item.place));
      const rest = kids.filter((kid) => !drawn.has(kid));
      if (rest.length) found.push(together(rest, place, key));
    }
    level = next;
  }
  return found;
}

function together(rest, place, key) {
  const known = rest.filter((kid) => columns.average[kid] >= 0);
  const visits = rest.reduce((sum, kid) => sum + columns.visits[kid], 0);
  const weight = known.reduce((sum, kid) => sum + columns.visits[kid], 0);
  const sum = known.reduce((total, kid) => total + columns.visits[kid] * columns.average[kid], 0);
  return { key: `rest-${place}`, parent: key, place: null, above: place, label: `${rest.length} more`, visits,
    average: weight ? Math.round(sum / weight) : -1 };
}

function drawIcicle() {
  slices = visibleSlices();
  const style = getComputedStyle(document.documentElement);
  const [line, ink, surface, best] = ["--line", "--ink", "--surface", "--best"].map((name) => style.getPropertyValue(name).trim());
  const colours = slices.map((slice) => colourOf(slice.average) || line);
  // Labels that are wider than a column are hidden, so they go over lines there.
  const signs = Math.floor(document.getElementById("icicle").clientWidth / (levelsDrawn() + 1) / 6.8);
  const chosen = (slice) => slice.place === state.chosen && slice.place !== null;
  const trace = {
    type: "icicle", branchvalues: "total", sort: false, tiling: { orientation: "h", pad: 1 },
    pathbar: { visible: false }, leaf: { opacity: 1 }, root: { color: "rgba(0,0,0,0)" },
    ids: slices.map((slice) => slice.key),
    parents: slices.map((slice) => slice.parent),
    labels: slices.map((slice) => broken(slice.label, Math.min(18, signs))),
    values: slices.map((slice) => slice.visits),
    text: slices.map((slice) => (slice.average < 0 ? "" : numberText(slice.average))),
    textinfo: "label+text",
    textfont: { size: 12, color: colours.map((colour) => (colour.startsWith("#") ? (colour === line ? ink : inkOn(colour)) : ink)) },
    marker: { colors: colours, line: { color: slices.map((slice) => (chosen(slice) ? ink : bestPath.has(slice.place) ? best : surface)),
      width: slices.map((slice) => (chosen(slice) || bestPath.has(slice.place) ? 3 : 0.5)) } },
    hovertext: slices.map(hoverOf), hoverinfo: "text",
  };
  const element = document.getElementById("icicle");
  element.classList.remove("drawing");
  const layout = { template: payload.templates[scheme()], height: narrow() ? 448 : 592, margin: { l: 4, r: 4, t: 4, b: 4 },
    uniformtext: { minsize: 10, mode: "hide" } };
  const done = Plotly.react(element, [trace], layout, plotConfig);
  if (!element.dataset.listening) {
    element.dataset.listening = "true";
    element.on("plotly_icicleclick", (event) => {
      const slice = slices.find((one) => one.key === event.points[0].id);
      if (slice) clicked(slice);
      return false;
    });
  }
  element.dataset.root = state.root === ROOT ? "" : String(columns.id[state.root]);
  element.dataset.slices = String(slices.length);
  return done;
}

function hoverOf(slice) {
  if (slice.place === ROOT) return `the ${tree.metric.items}`;
  const path = labelsOf(slice.place === null ? slice.above : slice.place);
  const name = slice.place === null ? `${slice.label} below ${path || `the ${tree.metric.items}`}` : path;
  return `${plain(name)}<br>${whole(slice.visits)} visits, ${tree.metric.name} ${numberText(slice.average)}`;
}

function clicked(slice) {
  if (slice.place === null) choose(slice.above, true);
  else if (slice.place === state.root && state.root !== ROOT) choose(parentOf(state.root), true);
  else choose(slice.place, true);
}

/** Choose a node; `deeper` makes it the root of the drawing, or its parent where nothing is below it. */
function choose(place, deeper) {
  state.chosen = place;
  if (deeper) state.root = place === ROOT || kidsOf(place).some(passes) ? place : parentOf(place);
  if (state.root !== ROOT && !pathOf(place).includes(state.root)) state.root = place === ROOT ? ROOT : parentOf(place);
  refresh();
}

function refresh() {
  fillPanel(state.chosen, choose);
  fillCrumbs();
  drawIcicle();
  document.getElementById("where-best").textContent = whereBest();
  const matching = countMatching();
  document.getElementById("shown").textContent =
    `· ${whole(matching)} of ${whole(columns.id.length)} nodes pass the filters, ${whole(slices.length)} slices drawn`;
}

/** Where the best prefix is in the drawing: the reader must not take the deepest slice for the winner. */
function whereBest() {
  const drawn = slices.filter((slice) => bestPath.has(slice.place)).length;
  const shown = slices.some((slice) => slice.place === bestPlace);
  const text = `The best prefix has ${bestPath.size} layer${bestPath.size === 1 ? "" : "s"}`;
  if (shown) return `${text}; its path has a red border.`;
  return drawn ? `${text}; the drawing shows ${drawn} of its path, with a red border. The button goes to its end.`
    : `${text}, none of which this part of the drawing shows. The button goes to it.`;
}

/** Nodes that can be reached: they pass, and so does all that is above them. Parents stand before their children. */
function countMatching() {
  const reachable = new Uint8Array(columns.id.length);
  let count = 0;
  for (let place = 0; place < reachable.length; place += 1) {
    const above = parentOf(place);
    reachable[place] = passes(place) && (above === ROOT || reachable[above]) ? 1 : 0;
    count += reachable[place];
  }
  return count;
}

function fillCrumbs() {
  const crumbs = document.getElementById("crumbs");
  const places = [ROOT, ...(state.root === ROOT ? [] : pathOf(state.root))];
  crumbs.replaceChildren(...places.flatMap((place, depth) => {
    const button = make("button", { type: "button", onclick: () => choose(place, true) }, place === ROOT ? "all" : labelOf(place));
    if (place === state.root) button.setAttribute("aria-current", "true");
    return depth ? [make("span", {}, "›"), button] : [button];
  }));
}

function byKeyboard(event) {
  const at = state.chosen;
  const kids = kidsOf(at).filter(passes);
  const siblings = at === ROOT ? [] : kidsOf(parentOf(at)).filter(passes);
  const beside = (step) => siblings[siblings.indexOf(at) + step];
  const inside = (place) => place !== undefined && choose(place, state.root !== ROOT && !pathOf(place).includes(state.root));
  const moves = {
    ArrowRight: () => inside(kids[0]),
    ArrowLeft: () => at !== ROOT && choose(parentOf(at), at === state.root),
    ArrowDown: () => inside(beside(1)),
    ArrowUp: () => inside(beside(-1)),
    Enter: () => choose(at, true),
    Backspace: () => state.root !== ROOT && choose(parentOf(state.root), true),
  };
  if (event.target !== event.currentTarget || !moves[event.key]) return;
  event.preventDefault();
  moves[event.key]();
}
