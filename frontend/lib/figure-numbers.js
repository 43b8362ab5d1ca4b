/** The numbers that a Plotly figure draws, as a table: what a reader has who does not see it. As mfn_core.evidence.numbers. */

const ORDER = ["name", "x", "y", "z", "text"]; // the ends of error bars stand beside their number, as everywhere

export function figureNumbers({ data = [], layout = {} }) {
  const points = data.flatMap(pointsOf);
  const used = ORDER.filter((key) => points.some((point) => point[key] !== null && point[key] !== undefined));
  const axis = (name) => layout[`${name}axis`]?.title?.text || name;
  const titles = { name: "series", x: axis("x"), y: axis("y") };
  return { title: "", columns: used.map((key) => ({ key, title: titles[key] ?? key, kind: "number" })), rows: points };
}

const list = (value) => (Array.isArray(value) ? value : []);

function pointsOf(trace) {
  const name = trace?.name ?? null;
  const [x, y, z] = [list(trace?.labels ?? trace?.x), list(trace?.values ?? trace?.y), list(trace?.z)];
  if (Array.isArray(z[0])) return z.flatMap((row, i) => row.map((value, j) => ({ name, x: x[j] ?? j, y: y[i] ?? i, z: value })));
  const errors = { x: ends(trace?.error_x, x), y: ends(trace?.error_y, y) };
  const text = list(trace?.text);
  const count = Math.max(x.length, y.length);
  return Array.from({ length: count }, (_, i) => ({
    name, x: x[i], y: y[i], z: z[i], text: text[i], x_low: errors.x[0][i], x_high: errors.x[1][i], y_low: errors.y[0][i], y_high: errors.y[1][i],
  }));
}

function ends(error, held) {
  const above = list(error?.array);
  const below = error?.arrayminus ? list(error.arrayminus) : above;
  const shifted = (by, sign) => by.map((amount, i) => (Number.isFinite(amount) && Number.isFinite(held[i]) ? held[i] + sign * amount : null));
  return [shifted(below, -1), shifted(above, 1)];
}
