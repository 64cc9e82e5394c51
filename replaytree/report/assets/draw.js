"use strict";
// Figures made in Python are drawn here, in the colours of the reader's scheme, one at a time when there is leisure.
const payload = JSON.parse(document.getElementById("payload").textContent);
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const scheme = () => (darkScheme.matches ? "dark" : "light");
const plotConfig = { responsive: true, displaylogo: false, displayModeBar: false };

function themedLayout(layout) {
  const themed = { ...layout, template: payload.templates[scheme()] };
  const scale = layout.meta && payload.scales[layout.meta.scale];
  if (scale) themed.coloraxis = { ...layout.coloraxis, colorscale: scale[scheme()] };
  return themed;
}

function drawFigure(element) {
  const { data, layout } = payload.figures[element.dataset.figure];
  element.classList.remove("drawing");
  element.dataset.drawn = "true";
  return Plotly.react(element, data, themedLayout(layout), plotConfig).then(() => {
    if (typeof onNode === "function") onNode(element);
  });
}

function visible(element) {
  return element.offsetParent !== null;
}

const figureElements = () => [...document.querySelectorAll("[data-figure]")];

function drawWaiting() {
  const next = figureElements().find((element) => !element.dataset.drawn && visible(element));
  if (!next) {
    document.documentElement.dataset.drawn = "true";
    return;
  }
  drawFigure(next);
  setTimeout(drawWaiting, 0);
}

// A printout takes what is there: nothing may still be waiting.
addEventListener("beforeprint", () => {
  figureElements().filter((element) => !element.dataset.drawn && visible(element)).forEach(drawFigure);
});

darkScheme.addEventListener("change", () => {
  figureElements().filter((element) => element.dataset.drawn).forEach(drawFigure);
});
