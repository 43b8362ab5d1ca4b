/** What the colours of the map mean: how each point looks, and the legend that says so. */

import { rgbOf } from "../components/feature-map.js";
import { formatInteger, formatPercent } from "../lib/format.js";
import { themeColor } from "../lib/theme.js";
import { map as text } from "./map-strings.js";

export const COLOURS = ["layer", "rate", "label", "group"];
const RAMP = ["--map-1", "--map-2", "--map-3", "--map-4", "--map-5"];
const KINDS = ["--kind-1", "--kind-2", "--kind-3", "--kind-4", "--kind-5", "--kind-6", "--kind-7", "--kind-8"];
const RATE_STEPS = 20;
const LEAST_RATE = -6; // log10; rarer ones look alike
const OPACITY = 0.8;
const FAINT = 0.45;

/**
 * @typedef {{lookOf: (i: number) => number, looks: import("../lib/point-painter.js").Look[], legend: {label: string, look: number, count: number}[],
 *   ramp: {colours: number[][], from: string, to: string}|null}} Colouring
 *   `legend`: entries that can be shown alone; `ramp`: a scale instead of them
 */

/** @param {import("../lib/map-points.js").MapPoints} points @param {string} by one of `COLOURS` @returns {Promise<Colouring>} */
export async function colouring(points, by) {
  return { layer: byLayer, rate: byRate, label: byLabel, group: byGroup }[by](points);
}

/** @returns {number[][]} so many colours along the ramp */
function ramp(count) {
  const stops = RAMP.map((name) => rgbOf(themeColor(name)));
  return Array.from({ length: count }, (_, i) => {
    const at = count === 1 ? (stops.length - 1) / 2 : (i / (count - 1)) * (stops.length - 1);
    const [low, share] = [Math.min(stops.length - 2, Math.floor(at)), at - Math.min(stops.length - 2, Math.floor(at))];
    return stops[low].map((value, channel) => Math.round(value + (stops[low + 1][channel] - value) * share));
  });
}

const grey = () => rgbOf(themeColor("--map-none"));

/** How many points have each look. */
function counted(points, looks, lookOf) {
  const counts = new Array(looks).fill(0);
  for (let i = 0; i < points.n; i++) counts[lookOf(i)]++;
  return counts;
}

function byLayer(points) {
  const layers = [...new Set(points.layers)].sort((a, b) => a - b);
  const place = new Uint16Array(points.layers.map((layer) => layers.indexOf(layer)));
  const lookOf = (i) => place[points.source[i]];
  const looks = ramp(layers.length).map((rgb) => ({ rgb, opacity: OPACITY }));
  const counts = counted(points, looks.length, lookOf);
  return { lookOf, looks, ramp: null, legend: layers.map((layer, look) => ({ label: text.layerNumber(layer), look, count: counts[look] })) };
}

function byRate(points) {
  const looks = [{ rgb: grey(), opacity: FAINT, factor: 0.8 }, ...ramp(RATE_STEPS).map((rgb) => ({ rgb, opacity: OPACITY }))];
  const step = Uint8Array.from(points.rate, (rate) => (rate > 0 ? 1 + Math.min(RATE_STEPS - 1, Math.floor(Math.max(0, 1 - Math.log10(rate) / LEAST_RATE) * RATE_STEPS)) : 0));
  const silent = step.reduce((sum, value) => sum + (value === 0 ? 1 : 0), 0);
  const scale = { colours: looks.slice(1).map(({ rgb }) => rgb), from: formatPercent(10 ** LEAST_RATE), to: formatPercent(1) };
  return { lookOf: (i) => step[i], looks, ramp: scale, legend: silent ? [{ label: text.silent, look: 0, count: silent }] : [] };
}

function byLabel(points) {
  const [person, program] = [rgbOf(themeColor("--heat-line")), rgbOf(themeColor("--accent"))];
  const looks = [
    { rgb: grey(), opacity: FAINT },
    { rgb: person, opacity: 1, factor: 2, shape: "diamond", above: true },
    { rgb: program, opacity: 0.9, factor: 1.2, above: true },
  ];
  const lookOf = (i) => points.origin[i];
  const counts = counted(points, looks.length, lookOf);
  return { lookOf, looks, ramp: null, legend: [1, 2, 0].map((look) => ({ label: text.origins[look], look, count: counts[look] })) };
}

async function byGroup(points) {
  const { islands } = await import("../lib/islands.js");
  const { of, sizes } = islands(points.x, points.y);
  const looks = [{ rgb: grey(), opacity: FAINT }, ...KINDS.slice(0, sizes.length - 1).map((name) => ({ rgb: rgbOf(themeColor(name)), opacity: OPACITY }))];
  const legend = sizes.map((count, look) => ({ label: look ? text.group(look) : text.between, look, count }));
  return { lookOf: (i) => of[i], looks, ramp: null, legend: [...legend.slice(1), legend[0]] };
}

export const legendLabel = ({ label, count }) => `${label}: ${formatInteger(count)}`;
