"use strict";
// The tree as columns: children, paths and labels are rebuilt from parents and actions.
const tree = payload.columns.tree;
const ROOT = -1;
const columns = tree ? tree.columns : null;
const childrenOf = new Map();
const placeOfId = new Map();

if (tree) {
  columns.id.forEach((id, place) => {
    placeOfId.set(id, place);
    const parent = columns.parent[place];
    if (!childrenOf.has(parent)) childrenOf.set(parent, []);
    childrenOf.get(parent).push(place);
  });
  for (const children of childrenOf.values()) {
    children.sort((a, b) => columns.visits[b] - columns.visits[a] || a - b);
  }
}

const kidsOf = (place) => childrenOf.get(place) || [];
const labelOf = (place) => (place === ROOT ? tree.search : tree.labels[columns.label[place]]);
const parentOf = (place) => columns.parent[place];
const visitsOf = (place) =>
  place === ROOT ? kidsOf(ROOT).reduce((sum, kid) => sum + columns.visits[kid], 0) : columns.visits[place];

function pathOf(place) {
  const path = [];
  for (let at = place; at !== ROOT; at = parentOf(at)) path.push(at);
  return path.reverse();
}

const actionOf = (place) => String((columns.action || columns.label)[place]);
const actionsOf = (place) => pathOf(place).map(actionOf);
const labelsOf = (place) => pathOf(place).map(labelOf).join(" ");
// Accuracies and perplexities travel as whole numbers: as they are shown, without the point.
const numberOf = (whole) => whole / 10 ** tree.metric.digits;
const numberText = (whole) => (whole < 0 ? "unknown" : numberOf(whole).toFixed(tree.metric.digits));

function colourOf(whole) {
  if (whole < 0) return null;
  const [low, high] = tree.range;
  const { leastError } = tree.metric;
  const place = -Math.log10(leastError === null ? numberOf(whole) : 1 - numberOf(whole) + leastError);
  const share = Math.min(1, Math.max(0, (place - low) / (high - low)));
  return tree.colours[Math.round(share * (tree.colours.length - 1))];
}

function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#14181b" : "#ffffff";
}

// Figures read a little HTML; names are shown as they are.
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** A label for a figure: long ones of several decisions go over lines, as in wording.py. */
function broken(label, most = 18) {
  const lines = [""];
  for (const part of label.match(/[^-+]*[-+]|[^-+]+/g) || []) {
    if (lines.at(-1) && lines.at(-1).length + part.length > most) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines.map(plain).join("<br>");
}

/** Places that a text means, best first: a number, dotted indices, or labels from the root (else anywhere). */
function findPlaces(text, most) {
  const words = text.trim().split(/[\s,]+/).filter(Boolean);
  if (!words.length) return [];
  if (words.length === 1 && /^\d+$/.test(words[0]) && !tree.labels.includes(words[0])) {
    return placeOfId.has(Number(words[0])) ? [placeOfId.get(Number(words[0]))] : [];
  }
  if (words.length === 1 && /^\d+(\.\d+)+$/.test(words[0]) && !tree.labels.includes(words[0])) {
    let at = ROOT;
    for (const action of words[0].split(".")) {
      at = kidsOf(at).find((kid) => actionOf(kid) === action);
      if (at === undefined) return [];
    }
    return [at];
  }
  const fromRoot = matchesBelow(ROOT, words);
  return (fromRoot.length ? fromRoot : matchesAnywhere(words)).slice(0, most);
}

function matchesBelow(root, words) {
  let places = [root];
  words.forEach((word, depth) => {
    const last = depth === words.length - 1;
    const fits = (label) => label === word || (last && label.toLowerCase().startsWith(word.toLowerCase()));
    places = places.flatMap((place) => kidsOf(place).filter((kid) => fits(labelOf(kid))));
  });
  return places.sort((a, b) => columns.visits[b] - columns.visits[a] || a - b);
}

function matchesAnywhere(words) {
  const lower = words.map((word) => word.toLowerCase());
  const found = [];
  for (let place = 0; place < columns.id.length; place += 1) {
    let at = place;
    let fits = true;
    for (let back = lower.length - 1; back >= 0 && fits; back -= 1) {
      fits = at !== ROOT && labelOf(at).toLowerCase().startsWith(lower[back]);
      if (fits) at = parentOf(at);
    }
    if (fits) found.push(place);
  }
  return found.sort((a, b) => columns.visits[b] - columns.visits[a] || a - b);
}
