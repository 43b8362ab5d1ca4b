/** Where the slider of an intervention runs. */

/**
 * Where a slider runs, from the feature's strongest activation in the corpus.
 * A set value cannot be negative (codes are ReLU) unless the source's values are signed; an added one can; a factor runs
 * from off to threefold and on.
 * @param {string} mode
 * @param {number} maximum
 * @param {boolean} signed
 * @returns {{min: number, max: number, step: number, initial: number}}
 */
export function valueRange(mode, maximum, signed = false) {
  if (mode === "scale") return { min: signed ? -8 : 0, max: 8, step: 0.05, initial: 2 };
  const top = maximum > 0 && Number.isFinite(maximum) ? maximum : 1;
  const end = roundUp(3 * top);
  const step = 10 ** Math.floor(Math.log10(end / 100));
  const initial = Math.round(top / step) * step;
  return { min: signed || mode === "add" ? -end : 0, max: end, step, initial: Number(initial.toPrecision(6)) };
}

/** The next number with two digits: 13.7 → 14, 0.237 → 0.24. */
function roundUp(value) {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.ceil(value / unit) * unit).toPrecision(6));
}
