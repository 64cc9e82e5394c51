"use strict";
// The chosen node: its numbers, its commands, its children. Text only ever enters the page as text.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const MOST_CHILDREN = 100;
const whole = (number) => (number < 0 ? "unknown" : number.toLocaleString("en"));

function factsOf(place) {
  const facts = [
    ["node", String(columns.id[place])],
    ["path", actionsOf(place).join(".")],
    ["visits", whole(columns.visits[place])],
    ["evaluations", whole(columns.evaluations[place])],
    [`budget, ${tree.unit}`, whole(columns.epochs[place])],
    ["evaluations at it", whole(columns.budgetEvaluations[place])],
    ["parameters", whole(columns.params[place])],
    ["FLOPs", whole(columns.flops[place])],
  ];
  const shape = tree.shapes[columns.shape[place]];
  return shape ? [...facts, ["feature map", shape]] : facts;
}

function command(text) {
  const code = make("code", {}, text);
  return make("div", { class: "command" }, code, copyButton(code));
}

function addCopyButtons() {
  for (const code of document.querySelectorAll(".command > code[data-command]")) code.after(copyButton(code));
}

function copyButton(code) {
  const text = code.textContent;
  // Else a line may break behind any hyphen, as in "-- format".
  const words = text.split(" ").flatMap((word, at) => [at ? " " : "", make("span", { class: "word" }, word)]);
  code.replaceChildren(...words);
  const copy = make("button", { type: "button", "aria-label": `Copy: ${text}` }, "Copy");
  copy.addEventListener("click", () => {
    getSelection().selectAllChildren(code);
    const done = navigator.clipboard ? navigator.clipboard.writeText(text) : Promise.reject();
    done.then(() => { copy.textContent = "Copied"; }, () => { copy.textContent = "Selected"; });
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return copy;
}

function childList(place, choose) {
  const kids = kidsOf(place).filter(passes);
  const list = make("ul", { class: "children" });
  for (const kid of kids.slice(0, MOST_CHILDREN)) {
    const swatch = make("i", {});
    swatch.style.background = colourOf(columns.average[kid]) || "var(--line)";
    list.append(make("li", {}, make("button", { type: "button", onclick: () => choose(kid, true) },
      swatch, make("span", { class: "mono" }, labelOf(kid)),
      make("span", {}, numberText(columns.average[kid])),
      make("span", { class: "quiet" }, `${whole(columns.visits[kid])}×`))));
  }
  const more = kids.length > MOST_CHILDREN ? `, the ${MOST_CHILDREN} most visited shown` : "";
  const heading = kids.length ? `${kids.length} next layer${kids.length === 1 ? "" : "s"}${more}` : "No layer follows";
  return [make("p", { class: "quiet" }, `${heading}${kids.length ? `: ${tree.metric.name}, visits` : ""}`), list];
}

function fillPanel(place, choose) {
  const panel = document.getElementById("panel");
  if (place === ROOT) {
    panel.replaceChildren(make("h3", {}, `The ${tree.metric.items}`),
      make("p", { class: "quiet" }, `${whole(visitsOf(ROOT))} episode${visitsOf(ROOT) === 1 ? "" : "s"} began here. Choose a node to see its numbers.`),
      ...childList(ROOT, choose));
    panel.dataset.node = "";
    return;
  }
  const facts = make("dl", {});
  for (const [name, value] of factsOf(place)) {
    facts.append(make("dt", {}, name), make("dd", { "data-fact": name }, value));
  }
  const id = columns.id[place];
  const average = `average ${tree.metric.name}`;
  panel.replaceChildren(
    make("h3", {}, labelsOf(place)),
    make("div", { class: "big" },
      make("div", {}, make("b", { "data-fact": average }, numberText(columns.average[place])), average),
      make("div", {}, make("b", { "data-fact": tree.metric.bound }, numberText(columns.bound[place])), tree.metric.bound),
      make("div", {}, make("b", { "data-fact": tree.metric.best }, numberText(columns.best[place])), tree.metric.best)),
    facts,
    ...tree.commands.map((pieces) => command(pieces.join(id))),
    make("p", { class: "quiet" }, "Retrain a node before you export it."),
    ...childList(place, choose));
  panel.dataset.node = String(id);
}
