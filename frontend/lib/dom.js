/**
 * The only way this app makes elements. Children and text go through text nodes, never through markup, so a label,
 * a token or a document can hold anything and is still only read.
 */

const AS_PROPERTY = new Set(["value", "checked", "selected", "indeterminate", "disabled", "hidden", "htmlFor"]);
const FORBIDDEN = new Set(["innerHTML", "outerHTML", "srcdoc", "textContent"]);
const SVG = "http://www.w3.org/2000/svg";

/**
 * h("button", { class: "primary", onclick: save, dataset: { id }, style: { "--x": 1 } }, "Save", icon)
 *
 * `null`, `undefined` and `false` children and props are skipped; arrays of children are flattened. `style` takes an
 * object and goes through CSSOM (the content security policy refuses style attributes). `on…` takes a function.
 *
 * @param {string} tag @param {Record<string, any>|null} [props] @param {...any} children
 * @returns {any} the compiler does not know what our own elements have
 */
export function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

/** As `h`, for SVG elements. */
export function svg(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) setProp(element, name, value);
  element.append(...nodes(children));
  return element;
}

function setProp(element, name, value) {
  if (value === null || value === undefined) return;
  if (FORBIDDEN.has(name)) throw new TypeError(`h() does not set ${name}: pass text as a child`);
  if (name.startsWith("on")) {
    if (typeof value !== "function") throw new TypeError(`h() wants a function for ${name}`);
    element.addEventListener(name.slice(2).toLowerCase(), value);
  } else if (name === "style") {
    for (const [key, entry] of Object.entries(value)) element.style.setProperty(key, String(entry));
  } else if (name === "dataset") {
    for (const [key, entry] of Object.entries(value)) if (entry !== null && entry !== undefined) element.dataset[key] = String(entry);
  } else if (AS_PROPERTY.has(name)) {
    element[name] = value;
  } else if (value === true) {
    element.setAttribute(name, "");
  } else if (value !== false || name.startsWith("aria-")) {
    element.setAttribute(name, String(value));
  }
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/** Replace everything inside `element`. @template {Element} E @param {E} element @param {...any} children @returns {E} */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** As `fill`; the focus goes to what has the same `data-key` as what had it and was replaced. */
export function refill(element, ...children) {
  const focused = /** @type {HTMLElement|null} */ (element.contains(document.activeElement) ? document.activeElement : null);
  const key = focused?.dataset.key;
  fill(element, ...children);
  if (key) /** @type {HTMLElement|null} */ (element.querySelector(`[data-key="${CSS.escape(key)}"]`))?.focus();
}

/** Call `fn` once, `wait` ms after the last call. `.cancel()` drops a pending one (`.pending()` tells); `.flush()` runs it now. */
export function debounce(fn, wait) {
  let timer = 0;
  /** @type {any[]|null} */ let pending = null;
  const run = () => {
    const args = pending ?? [];
    timer = 0;
    pending = null;
    fn(...args);
  };
  const debounced = (...args) => {
    clearTimeout(timer);
    pending = args;
    timer = setTimeout(run, wait);
  };
  debounced.cancel = () => {
    clearTimeout(timer);
    pending = null;
  };
  debounced.pending = () => pending !== null;
  debounced.flush = () => {
    if (!pending) return;
    clearTimeout(timer);
    run();
  };
  return debounced;
}

/** Say something to screen readers without moving focus. */
export function announce(message) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = message;
}

/** A UUID that also works where `crypto.randomUUID` does not exist (plain http on another host than localhost). */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
