/**
 * The map of features as the server sends it (see `MapPointsHead` in /openapi.json): typed arrays over one buffer, no
 * number is parsed out of text.
 *
 * @typedef {{method: string, methods: string[], explained: number[], sources: {source: string, layer: number}[],
 *   n_features: number, n_shown: number, umap_version: string|null,
 *   columns: {name: string, type: keyof typeof TYPES, offset: number}[]}} MapHead
 */

const MAGIC = "MFNMAP1\n";
/** Of the origins of labels (none, people, programs): which comes first. */
const TURNS = [2, 0, 1];
const TYPES = { "|u1": Uint8Array, "<u2": Uint16Array, "<u4": Uint32Array, "<f4": Float32Array };

export class MapPoints {
  /** @type {Uint32Array|undefined} */ #ordered;

  /** @param {ArrayBuffer} buffer Throws where it is no map. */
  constructor(buffer) {
    const bytes = new Uint8Array(buffer);
    if (new TextDecoder("latin1").decode(bytes.subarray(0, MAGIC.length)) !== MAGIC) throw new TypeError("this is no map");
    const length = new DataView(buffer).getUint32(MAGIC.length, true);
    const begin = MAGIC.length + 4;
    /** @type {MapHead} */
    this.head = JSON.parse(new TextDecoder().decode(bytes.subarray(begin, begin + length)));
    /** How many points. */
    this.n = this.head.n_shown;
    const column = (name) => {
      const described = this.head.columns.find((each) => each.name === name);
      if (!described) throw new TypeError(`a map without ${name}`);
      const { type, offset } = described;
      return new TYPES[type](buffer, begin + length + offset, this.n);
    };
    this.source = column("source");
    this.index = column("index");
    this.rate = column("rate");
    this.origin = column("origin");
    this.status = column("status");
    /** The layer of each source. */
    this.layers = this.head.sources.map(({ layer }) => layer);
    const [x, y] = unitSquare(column("x"), column("y"));
    this.x = x;
    this.y = y;
  }

  /** A point's feature. */
  feature(i) {
    return { source: this.head.sources[this.source[i]].source, index: this.index[i] };
  }

  layer(i) {
    return this.layers[this.source[i]];
  }

  /** The point of a feature, or -1. */
  find({ source, index }) {
    const place = this.head.sources.findIndex((each) => each.source === source);
    if (place < 0) return -1;
    for (let i = 0; i < this.n; i++) if (this.index[i] === index && this.source[i] === place) return i;
    return -1;
  }

  /**
   * All points: what people have named, what programs have named, the rest; of each, those that fire most often first.
   * @returns {Uint32Array}
   */
  get namedFirst() {
    const before = (a, b) => TURNS[this.origin[a]] - TURNS[this.origin[b]] || (this.rate[b] || 0) - (this.rate[a] || 0) || a - b;
    this.#ordered ??= Uint32Array.from({ length: this.n }, (_, i) => i).sort(before);
    return this.#ordered;
  }
}

/** Places moved and scaled, both ways alike, so that all lie from 0 to 1; y grows downwards, as on a screen. */
function unitSquare(x, y) {
  const [left, right] = extent(x);
  const [low, high] = extent(y);
  const size = Math.max(right - left, high - low) || 1;
  const [dx, dy] = [(1 - (right - left) / size) / 2, (1 - (high - low) / size) / 2];
  return [x.map((value) => (value - left) / size + dx), y.map((value) => 1 - ((value - low) / size + dy))];
}

function extent(values) {
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return least <= greatest ? [least, greatest] : [0, 0];
}
