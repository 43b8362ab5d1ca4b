/**
 * Groups of points on a map: cells of a grid that are fuller, by a quarter, than the average cell with anything in it (over
 * three by three cells), joined where they touch. It says what the eye sees on the drawing, and nothing of how it came about.
 */

const FULLER = 1.25;
const FEWEST = 8;
const LEAST_SHARE = 0.004; // of all points, for a group to be named
const MOST = 8;

/**
 * @param {Float32Array} x @param {Float32Array} y from 0 to 1
 * @returns {{of: Uint8Array, sizes: number[]}} the group of each point, from 1 with the largest first, 0 for none; and how
 *   many points each has, from 0 on
 */
export function islands(x, y) {
  const n = x.length;
  const side = Math.max(8, Math.min(128, Math.round(Math.sqrt(n) / 3)));
  const cells = new Uint32Array(n);
  const counts = new Float32Array(side * side);
  const cellOf = (value) => Math.max(0, Math.min(side - 1, Math.floor(value * side)));
  for (let i = 0; i < n; i++) counts[(cells[i] = cellOf(y[i]) * side + cellOf(x[i]))]++;
  const around = blurred(counts, side);
  const occupied = around.filter((_, cell) => counts[cell] > 0);
  const level = (occupied.reduce((sum, value) => sum + value, 0) / Math.max(1, occupied.length)) * FULLER;
  const labels = joined(around, side, level);
  const sizes = new Uint32Array(labels.count + 1);
  for (let i = 0; i < n; i++) sizes[labels.of[cells[i]]]++;
  const named = Array.from({ length: labels.count }, (_, i) => i + 1)
    .filter((label) => sizes[label] >= Math.max(FEWEST, n * LEAST_SHARE))
    .sort((a, b) => sizes[b] - sizes[a])
    .slice(0, MOST);
  const place = new Uint8Array(labels.count + 1);
  for (const [i, label] of named.entries()) place[label] = i + 1;
  const of = Uint8Array.from(cells, (cell) => place[labels.of[cell]]);
  const kept = named.map((label) => sizes[label]);
  return { of, sizes: [n - kept.reduce((sum, size) => sum + size, 0), ...kept] };
}

/** The mean over each cell and its eight neighbours. */
function blurred(counts, side) {
  return counts.map((_, cell) => {
    const [row, column] = [Math.floor(cell / side), cell % side];
    let [sum, number] = [0, 0];
    for (let r = Math.max(0, row - 1); r <= Math.min(side - 1, row + 1); r++) {
      for (let c = Math.max(0, column - 1); c <= Math.min(side - 1, column + 1); c++) {
        sum += counts[r * side + c];
        number++;
      }
    }
    return sum / number;
  });
}

/** Numbers the connected parts above a level: 0 below it. */
function joined(values, side, level) {
  const of = new Uint32Array(values.length);
  let count = 0;
  for (let start = 0; start < values.length; start++) {
    if (of[start] || values[start] <= level) continue;
    of[start] = ++count;
    const open = [start];
    for (let cell = open.pop(); cell !== undefined; cell = open.pop()) {
      const column = cell % side;
      const beside = [cell - side, cell + side, column > 0 ? cell - 1 : -1, column < side - 1 ? cell + 1 : -1];
      for (const next of beside) {
        if (next < 0 || next >= values.length || of[next] || values[next] <= level) continue;
        of[next] = count;
        open.push(next);
      }
    }
  }
  return { of, count };
}
