/** What readers choose for themselves. Kept in localStorage where that is allowed, and as `data-…` on <html> for style sheets. */

const KEY = "mfn-settings";
const ON_PAGE = ["theme", "density", "motion"];
const CHANGE = "mfn:setting";

/** The choices of each setting. The first is what holds until somebody chooses. */
export const CHOICES = {
  theme: ["system", "light", "dark"],
  density: ["comfortable", "compact"],
  motion: ["system", "reduced"],
  /** Which blanks of a text get a sign: line breaks and tabs, or spaces, too. */
  blanks: ["breaks", "all"],
  /** What Browse is ordered by where its address does not say; "auto": as the page sees fit. */
  sort: ["auto", "rate", "max", "mean", "token_r2", "index", "label"],
};

let chosen = read();

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return Object.fromEntries(Object.entries(CHOICES).flatMap(([name, choices]) => (choices.includes(kept?.[name]) ? [[name, kept[name]]] : [])));
  } catch {
    return {}; // storage is switched off, or holds what nobody here wrote
  }
}

function apply() {
  for (const name of ON_PAGE) {
    if (chosen[name]) document.documentElement.dataset[name] = chosen[name];
    else delete document.documentElement.dataset[name];
  }
  dispatchEvent(new CustomEvent(CHANGE));
}

export const setting = (name) => chosen[name] ?? CHOICES[name][0];

/** Choosing what holds anyway forgets the choice. */
export function choose(name, value) {
  if (!CHOICES[name]?.includes(value)) throw new RangeError(`${name} cannot be ${value}`);
  const { [name]: _, ...others } = chosen;
  chosen = value === CHOICES[name][0] ? others : { ...others, [name]: value };
  try {
    if (Object.keys(chosen).length) localStorage.setItem(KEY, JSON.stringify(chosen));
    else localStorage.removeItem(KEY);
  } catch {
    // storage is switched off: the choice lasts as long as the tab
  }
  apply();
}

/** Call `listener` whenever something was chosen, here or in another tab, until `signal` aborts. */
export function onSettingChange(listener, /** @type {{signal?: AbortSignal}} */ { signal } = {}) {
  addEventListener(CHANGE, listener, { signal });
}

/** Whether things should appear where they belong, without moving there. */
export const reducedMotion = () => setting("motion") === "reduced" || matchMedia("(prefers-reduced-motion: reduce)").matches;

addEventListener("storage", ({ key }) => {
  if (key !== KEY && key !== null) return;
  chosen = read();
  apply();
});
