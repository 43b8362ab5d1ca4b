/** Calls to the server about steering: texts as they are written, what interventions do, versions of presets. As in lib/api.js. */

import { json, send } from "./api.js";

/** @typedef {import("./api.js").Options} Options */

export const steering = {
  /**
   * Streams a generation: `for await (const { event, data } of steering.generate(body, { signal })) …`.
   * Busy (429, 503) and invalid (422) requests throw before the first event.
   */
  async *generate(body, /** @type {Options} */ { signal } = {}) {
    const response = await send("/api/generate", { method: "POST", body, signal, accept: "text/event-stream" });
    for await (const { event, data } of readEvents(response.body)) yield { event, data: data === "" ? {} : JSON.parse(data) };
  },

  /** Replaces the interventions of a running generation, from its next token on. */
  updateGeneration: (requestId, interventions, options) =>
    json(`/api/generate/${encodeURIComponent(requestId)}`, { ...options, method: "PATCH", body: { interventions } }),

  /** What interventions will do and did; bodies and answers are those of /api/effect. */
  predictEffect: (body, options) => json("/api/effect/predict", { ...options, method: "POST", body }),
  sweepEffect: (body, options) => json("/api/effect/sweep", { ...options, method: "POST", body }),
  sweetSpot: (body, options) => json("/api/effect/sweet-spot", { ...options, method: "POST", body }),

  createPreset: (preset, options) => json("/api/presets", { ...options, method: "POST", body: preset }),
  /** Adds a version; `base_version` in the body is the one that was changed. */
  changePreset: (id, body, options) => json(`/api/presets/${encodeURIComponent(id)}`, { ...options, method: "PUT", body }),
  presetVersions: (id, options) => json(`/api/presets/${encodeURIComponent(id)}/versions`, options),
  restorePreset: (id, body, options) => json(`/api/presets/${encodeURIComponent(id)}/restore`, { ...options, method: "POST", body }),
};

/**
 * Server-sent events out of a byte stream (WHATWG HTML §9.2.6). EventSource cannot POST, so this reads fetch's body.
 * Comments (heartbeats) are skipped; an event cut off by the end of the stream is dropped, as the standard says.
 */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  let event = "message";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value;
      // A lone "\r" at the end may be the first half of "\r\n": keep it for the next chunk.
      const end = buffer.endsWith("\r") ? buffer.length - 1 : buffer.length;
      const lines = buffer.slice(0, end).split(/\r\n|\n|\r/);
      buffer = lines.pop() + buffer.slice(end);
      for (const line of lines) {
        if (line === "") {
          if (data.length) yield { event, data: data.join("\n") };
          event = "message";
          data = [];
        } else if (!line.startsWith(":")) {
          const colon = line.indexOf(":");
          const field = colon < 0 ? line : line.slice(0, colon);
          const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (field === "event") event = text;
          else if (field === "data") data.push(text);
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the consumer left early: let the server know; a failed cancel changes nothing
  }
}
