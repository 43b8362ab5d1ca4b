/** Which collection a list or a map is of. */

import { collectionPath, collections } from "../lib/api-collections.js";
import { fill, h } from "../lib/dom.js";
import { featureKey } from "../lib/selection.js";
import { withSheets } from "../lib/sheets.js";
import { collections as text } from "../pages/collection-strings.js";

/**
 * Says in `room` which collection it is, with a button that calls `leave`.
 * @returns {Promise<string[]>} its features, SOURCE:INDEX each; none where there is no such collection
 */
export async function showChip(room, id, leave) {
  if (room.dataset.collection !== id) fill(room);
  room.dataset.collection = id;
  const [found] = await Promise.all([collections.one(id, {}).catch(() => null), withSheets(null, "collections")]);
  const name = found?.name ?? text.unknown;
  if (room.dataset.collection === id) {
    fill(room, h("p", { class: "collection-chip" }, h("a", { href: found ? collectionPath(id) : "/collections", dir: "auto" }, text.chip(name)),
      h("button", { type: "button", class: "icon-button", title: text.chipRemove(name), "aria-label": text.chipRemove(name), onclick: leave }, "×")));
  }
  return found ? found.items.map(featureKey) : [];
}
