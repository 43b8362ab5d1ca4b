/** Light, dark or the system's choice; kept in localStorage where that is allowed. */

const KEY = "mfn-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** The theme on screen: "light" or "dark". */
export function currentTheme() {
  return document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
}

/** Switch to the other theme. Choosing what the system has anyway goes back to following the system. */
export function toggleTheme() {
  const next = currentTheme() === "dark" ? "light" : "dark";
  const follows = next === (system.matches ? "dark" : "light");
  if (follows) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (follows) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // storage is switched off: the choice lasts as long as the tab
  }
  dispatchEvent(new CustomEvent("mfn:theme"));
}

/** Call `listener` whenever the colours change, until `signal` aborts. */
export function onThemeChange(listener, { signal }) {
  addEventListener("mfn:theme", listener, { signal });
  system.addEventListener("change", listener, { signal });
}

/** A theme variable as a colour that SVG and Plotly understand: `themeColor("--accent")` -> "rgb(…)". */
export function themeColor(variable) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.setProperty("color", `var(${variable})`);
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
