"use strict";
document.documentElement.classList.remove("plain");
const narrow = matchMedia("(max-width: 640px)").matches;
const charts = [...document.querySelectorAll("[data-figure]")];

for (const chart of charts) {
  const figure = JSON.parse(document.getElementById(chart.dataset.figure).textContent);
  const layout = figure.layout;
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: "#888", activecolor: "#0072b2" };
  if (narrow) {
    layout.margin.l = 84;
    layout.font.size = 11;
    // The legend has a line for each of its names.
    if (layout.showlegend !== false) layout.height += 19 * figure.data.length;
  }
  // A finger scrolls the page; the buttons zoom.
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
  Plotly.newPlot(chart, figure.data, layout, {
    responsive: true,
    displaylogo: false,
    doubleClick: "autosize",
    modeBarButtonsToRemove: ["select2d", "lasso2d"],
  });
}

// Zoom in on a time: the other charts of the same leg follow.
for (const chart of charts.filter((one) => one.dataset.time)) {
  chart.on("plotly_relayout", (change) => {
    const moved = Object.keys(change).some((name) => name.startsWith("xaxis."));
    if (!moved || chart.follows) return;
    const range = chart.layout.xaxis.range;
    for (const other of charts) {
      if (other === chart || other.dataset.time !== chart.dataset.time) continue;
      other.follows = true;
      Plotly.relayout(other, { "xaxis.range": [...range] }).then(() => (other.follows = false));
    }
  });
}

// Paper is narrower than most screens.
const resize = (width) => charts.map((chart) => Plotly.relayout(chart, { width }));
addEventListener("beforeprint", () => resize(660));
addEventListener("afterprint", () => resize(null));
document.documentElement.dataset.drawn = charts.length;
