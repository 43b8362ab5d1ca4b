/** Style sheets that are fetched when what they style is first shown. */

import { h } from "./dom.js";

/** Waits for code and its style sheets, so that nothing is ever shown unstyled; later sheets stand over earlier ones. */
export async function withSheets(module, ...sheets) {
  const [loaded] = await Promise.all([module, ...sheets.map(styled)]);
  return loaded;
}

async function styled(sheet) {
  const href = `/assets/styles/${sheet}.css`;
  if (document.head.querySelector(`link[href="${href}"]`)) return;
  const link = h("link", { rel: "stylesheet", href });
  const loaded = new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => {
      link.remove();
      reject(new Error(href));
    });
  });
  document.head.append(link);
  await loaded;
}
