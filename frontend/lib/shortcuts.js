/**
 * The one registry of what can be done by keyboard: single keys ("/", "j", "["), two-key sequences ("g b") and keys with
 * Ctrl or Command ("Mod+k"). The help overlay lists what is live and has keys; the command palette, what is live and acts.
 */

const SEQUENCE_MS = 1200;
const MOD = "Mod+";
const apple = /Mac|iPhone|iPad/.test(navigator.platform);
const live = [];

/**
 * addShortcut("j", "Next feature", () => …, { group: "Browse", signal })
 *
 * `keys` may be several that do the same, or null for what only the palette offers. A later registration of the same keys
 * wins until its signal aborts. Keys typed into a field, or with Ctrl, Alt or Meta, are left alone, but for those with
 * "Mod+". A `null` handler only lists what the browser does anyway (Enter on a link).
 */
export function addShortcut(keys, description, handler, /** @type {{group?: string, signal?: AbortSignal}} */ { group, signal } = {}) {
  if (signal?.aborted) return;
  const entry = { keys: [keys ?? []].flat(), description, handler, group };
  live.push(entry);
  signal?.addEventListener("abort", () => live.splice(live.indexOf(entry), 1), { once: true });
}

const find = (keys) => live.findLast((entry) => entry.keys.includes(keys));

/** What no later registration hides, in order of registration. */
const reachable = () => live.filter((entry) => !entry.keys.length || entry.keys.some((keys) => find(keys) === entry));

/** [{ group, entries: [{ keys, description }] }] of all that has keys, in order of registration. */
export function listShortcuts() {
  return [...Map.groupBy(reachable().filter(({ keys }) => keys.length), ({ group }) => group)].map(([group, entries]) => ({ group, entries }));
}

/** [{ keys, description, handler, group }] of all that acts. */
export const listActions = () => reachable().filter(({ handler }) => handler);

/** "Mod+k" -> ["Ctrl", "K"], "g b" -> ["g", "b"]: what stands on the keys. */
export function keyNames(keys) {
  return keys.startsWith(MOD) ? [apple ? "⌘" : "Ctrl", keys.slice(MOD.length).toUpperCase()] : keys.split(" ");
}

/** True where typing means typing. A dialog that was just closed may have the focus still, until the browser paints. */
export function isEditable(target) {
  if (!(target instanceof Element) || target.closest("dialog:not([open])")) return false;
  if (target.closest("textarea, select, [contenteditable]:not([contenteditable=false])")) return true;
  const input = target.closest("input");
  return input !== null && !["checkbox", "radio", "button", "submit", "range"].includes(input.type);
}

export function startShortcuts() {
  let first = "";
  let since = 0;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.ctrlKey || event.metaKey) {
      const entry = !event.altKey && !event.shiftKey && find(MOD + event.key.toLowerCase());
      if (entry?.handler) {
        event.preventDefault();
        entry.handler(event);
      }
      return;
    }
    if (event.altKey || isEditable(event.target)) return;
    const sequence = first && event.timeStamp - since < SEQUENCE_MS ? `${first} ${event.key}` : event.key;
    first = "";
    const entry = find(sequence) ?? find(event.key);
    if (entry?.handler) {
      event.preventDefault();
      entry.handler(event);
    } else if (live.some(({ keys }) => keys.some((some) => some.startsWith(`${event.key} `)))) {
      first = event.key;
      since = event.timeStamp;
    }
  });
}
