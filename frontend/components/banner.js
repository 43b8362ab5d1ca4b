/** What the banner below the header says: how the server, the model and the index stand, where that is worth saying. */

import { sentence } from "../lib/format.js";
import { strings } from "../lib/strings.js";

/**
 * @param {{ health: any, offline: boolean, wasLoaded: boolean, began: string|null }} session of lib/store.js
 * @returns {{ kind: "info"|"problem", text: string, hint?: string|null, progress?: number, action?: { text: string, run: () => void } }|null}
 */
export function bannerOf({ health, offline, wasLoaded, began }) {
  const { shell } = strings;
  if (offline) return { kind: "problem", text: shell.offline };
  if (!health) return null;
  const { state, progress, message } = health.index;
  if (state === "error") return { kind: "problem", text: shell.indexError, hint: message ? sentence(message) : null };
  if (!health.model_loaded && wasLoaded) return { kind: "problem", text: shell.restarting };
  if (state === "building") return { kind: "info", text: shell.building(progress ?? 0), hint: message || null, progress: progress ?? 0 };
  if (state === "missing") return message ? { kind: "info", text: sentence(message) } : { kind: "info", text: shell.missing, hint: shell.missingHint };
  if (!health.model_loaded) return { kind: "info", text: shell.loadingModel };
  if (began !== null && health.version !== began) {
    return { kind: "info", text: shell.updated(health.version), action: { text: shell.reload, run: () => location.reload() } };
  }
  return null;
}
