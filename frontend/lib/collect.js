/** Fetches the dialog that adds features to a collection when somebody asks for it. */

import { withSheets } from "./sheets.js";

/** @param {{source: string, index: number}[]} features */
export async function collect(features) {
  const { openCollect } = await withSheets(import("../components/collect-dialog.js"), "collections");
  return openCollect(features);
}
