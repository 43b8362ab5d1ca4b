/** Style sheets that are fetched when what they style is first shown. */

import { h } from "./dom.js";

/** @type {Map<string, Promise<void>>} */ const asked = new Map();

/** Waits for code and its style sheets, so that nothing is ever shown unstyled; later sheets stand over earlier ones. */
export async function withSheets(module, ...sheets) {
  const [loaded] = await Promise.all([module, ...sheets.map(styled)]);
  return loaded;
}

/** Two who need one sheet at a time both wait for it. */
function styled(sheet) {
  const loaded = asked.get(sheet) ?? fetched(`/assets/styles/${sheet}.css`).catch((error) => {
    asked.delete(sheet);
    throw error;
  });
  asked.set(sheet, loaded);
  return loaded;
}

function fetched(href) {
  const link = h("link", { rel: "stylesheet", href });
  document.head.append(link);
  return new Promise((resolve, reject) => {
    link.addEventListener("load", () => resolve(undefined));
    link.addEventListener("error", () => {
      link.remove();
      reject(new Error(href));
    });
  });
}
