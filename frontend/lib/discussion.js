/**
 * What stands of one feature, as `GET …/labels` has it, and what can be said of it. Everything that is said rests on
 * the version that is shown; `ApiError` with the code "stale" says what happened since.
 */

import { api } from "./api.js";
import { uuid } from "./dom.js";

const SENT_BY = { accept: api.decide, adjudicate: api.decide, redact: api.redact };

export class Discussion {
  constructor(source, index, state) {
    this.source = source;
    this.index = index;
    this.state = state;
  }

  static async load(source, index, options) {
    return new Discussion(source, index, await api.discussion(source, index, {}, options));
  }

  /**
   * Says something. The same `id` again after a lost answer is the same event, not a second one.
   *
   * @param {{kind: string} & Record<string, any>} event
   * @param {{id?: string, reason?: string, version?: number}} [how]
   */
  say(event, { id = uuid(), reason, version = this.state.version } = {}) {
    const send = SENT_BY[event.kind] ?? api.say;
    return send(this.source, this.index, { id, event, reason: reason || undefined, base_version: version });
  }

  history(before, options) {
    return api.featureHistory(this.source, this.index, { before, limit: 30 }, options);
  }
}

/** Ids of the people whom a comment addresses: `@` and a name, the longest that fits. */
export function mentioned(text, people) {
  const byLength = [...people].sort((a, b) => b.name.length - a.name.length);
  const found = new Set();
  for (const { index } of text.matchAll(/@/g)) {
    const rest = text.slice(index + 1).toLowerCase();
    const person = byLength.find(({ name }) => rest.startsWith(name.toLowerCase()));
    if (person) found.add(person.id);
  }
  return [...found];
}
