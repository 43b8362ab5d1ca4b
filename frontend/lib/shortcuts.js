/** Keyboard shortcuts: single keys ("/", "j", "[") and two-key sequences ("g b"). The help overlay lists what is live. */

const SEQUENCE_MS = 1200;
const live = new Map();

/**
 * addShortcut("j", "Next feature", () => …, { group: "Browse", signal })
 *
 * A later registration of the same keys wins until its signal aborts. Keys typed into a field, or with Ctrl, Alt or
 * Meta, are left alone. A `null` handler only lists what the browser does anyway (Enter on a link).
 */
export function addShortcut(keys, description, handler, { group, signal } = {}) {
  const entry = { keys, description, handler, group };
  const stack = live.get(keys) ?? [];
  stack.push(entry);
  live.set(keys, stack);
  signal?.addEventListener("abort", () => {
    stack.splice(stack.indexOf(entry), 1);
    if (!stack.length) live.delete(keys);
  });
}

/** [{ group, entries: [{ keys, description }] }] in order of registration. */
export function listShortcuts() {
  const groups = new Map();
  for (const stack of live.values()) {
    const entry = stack.at(-1);
    if (!groups.has(entry.group)) groups.set(entry.group, []);
    groups.get(entry.group).push(entry);
  }
  return [...groups].map(([group, entries]) => ({ group, entries }));
}

/** True where typing means typing. */
export function isEditable(target) {
  if (!(target instanceof Element)) return false;
  if (target.closest("textarea, select, [contenteditable]:not([contenteditable=false])")) return true;
  const input = target.closest("input");
  return input !== null && !["checkbox", "radio", "button", "submit", "range"].includes(input.type);
}

export function startShortcuts() {
  let first = "";
  let since = 0;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (isEditable(event.target) || document.querySelector("dialog[open]")) return;
    const sequence = first && event.timeStamp - since < SEQUENCE_MS ? `${first} ${event.key}` : event.key;
    first = "";
    const entry = (live.get(sequence) ?? live.get(event.key))?.at(-1);
    if (entry?.handler) {
      event.preventDefault();
      entry.handler(event);
    } else if ([...live.keys()].some((keys) => keys.startsWith(`${event.key} `))) {
      first = event.key;
      since = event.timeStamp;
    }
  });
}
