/** Light, dark or the system's choice, as chosen in settings. */

import { choose, onSettingChange, setting } from "./settings.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const ofSystem = () => (system.matches ? "dark" : "light");

/** The theme on screen: "light" or "dark". */
export function currentTheme() {
  const theme = setting("theme");
  return theme === "system" ? ofSystem() : theme;
}

/** Switch to the other theme. Choosing what the system has anyway goes back to following the system. */
export function toggleTheme() {
  const next = currentTheme() === "dark" ? "light" : "dark";
  choose("theme", next === ofSystem() ? "system" : next);
}

/** Call `listener` whenever the colours may have changed, until `signal` aborts. */
export function onThemeChange(listener, /** @type {{signal?: AbortSignal}} */ { signal } = {}) {
  onSettingChange(listener, { signal });
  system.addEventListener("change", listener, { signal });
}

const colours = new Map(); // to ask for one makes the browser work out all styles
onThemeChange(() => colours.clear());

/** A theme variable as a colour that SVG and Plotly understand: `themeColor("--accent")` -> "rgb(…)". */
export function themeColor(variable) {
  if (!colours.has(variable)) colours.set(variable, computed(variable));
  return colours.get(variable);
}

function computed(variable) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.setProperty("color", `var(${variable})`);
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
