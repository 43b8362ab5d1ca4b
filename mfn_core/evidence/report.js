/* What moves in a report: figures in the colours of the page, and tables that are sorted. */
(() => {
  "use strict";
  const plots = [...document.querySelectorAll(".plot")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const SERIES = {
    light: ["#3455c4", "#b4530f", "#1b7a45", "#8f3f9c", "#0f7484", "#8a6500", "#b3261e", "#5b5f66"],
    dark: ["#93abff", "#f0a15e", "#74d39c", "#d79be0", "#6cc9d8", "#d9c25a", "#ff9a8f", "#a4a9b1"],
  };

  const coloured = { autocolorscale: true };
  const AUTOMATIC = { data: { heatmap: [coloured], contour: [coloured], histogram2d: [coloured], scatter: [{ marker: coloured }], bar: [{ marker: coloured }] } };

  function colour(name) {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function layoutOf(given, onPaper) {
    const theme = dark.matches && !onPaper ? "dark" : "light";
    const [text, muted, line, surface] = onPaper ? ["#1b1c1e", "#5b5f66", "#e4e4de", "#fff"] : ["--text", "--muted", "--line", "--surface"].map(colour);
    const axis = { color: muted, gridcolor: line, zerolinecolor: line, automargin: true };
    const layout = {
      margin: { l: 56, r: 16, t: 24, b: 48 },
      hovermode: "closest",
      ...given,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      colorway: SERIES[theme],
      font: { ...given.font, family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
      legend: { orientation: "h", y: -0.22, ...given.legend },
      hoverlabel: { bgcolor: surface, font: { color: text } },
      template: AUTOMATIC, // instead of a figure's own, which has colours for white paper
      colorscale: { sequential: [[0, surface], [1, SERIES[theme][0]]], diverging: [[0, SERIES[theme][1]], [0.5, surface], [1, SERIES[theme][0]]] },
    };
    for (const key of new Set(["xaxis", "yaxis", ...Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name))])) layout[key] = { ...axis, ...given[key] };
    return layout;
  }

  function draw(plot, onPaper) {
    const { data, layout, frames } = JSON.parse(plot.nextElementSibling.textContent);
    if (layout?.height) plot.style.height = `${layout.height}px`;
    // Plotly keeps what it is given and writes into it: each drawing begins with what was read
    return Plotly.newPlot(plot, { data: data ?? [], layout: layoutOf(layout ?? {}, onPaper), frames: frames ?? [], config: { responsive: true, displaylogo: false } });
  }

  async function drawAll(onPaper = false) {
    for (const plot of plots) {
      try {
        await draw(plot, onPaper);
      } catch (error) {
        plot.textContent = `This figure cannot be drawn: ${error.message ?? error}`;
      }
    }
    document.documentElement.dataset.drawn = String(plots.length);
  }

  drawAll();
  dark.addEventListener("change", () => drawAll());
  addEventListener("beforeprint", () => dark.matches && drawAll(true));
  addEventListener("afterprint", () => dark.matches && drawAll());

  function value(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // what was not measured comes last
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  document.addEventListener("click", (event) => {
    const head = event.target.closest?.("th");
    if (!head || !event.target.closest("button")) return;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, head.cellIndex), row]);
    rows.sort(([a], [b]) => (down ? -1 : 1) * compare(a, b));
    body.append(...rows.map(([, row]) => row));
  });
})();
