/** The boxes that texts are written in, as they stand before there is anything in them. */
import { h } from "../lib/dom.js";
import { steer as text } from "../pages/steer-strings.js";

export const STREAMS = ["plain", "steered"];

/** The parts of one box. @param {{name: string, heading: string, hint: string}} of */
export function streamFrame({ name, heading, hint }) {
  const id = `stream-${name}`;
  const status = h("span", { class: "stream-status" });
  const written = h("div", { class: "stream-text", dir: "auto", role: "group", "aria-labelledby": id }, h("p", { class: "stream-hint" }, hint));
  const body = h("div", { class: "stream-body" }, written);
  return { status, written, body, head: h("header", { class: "stream-head" }, h("h2", { class: "stream-title", id }, heading), status) };
}

/** Both boxes and the one for a token, until the code that fills them is there. */
export function streamFrames() {
  const box = (name) => {
    const { head, body } = streamFrame({ name, heading: text[name], hint: text[`${name}Hint`] });
    return h("div", { class: "stream", name }, head, body);
  };
  return [h("div", { class: "streams" }, STREAMS.map(box)), h("div", { class: "detail", dataset: { empty: "" } }, detailHint())];
}

export const detailHint = () => h("p", { class: "detail-hint" }, text.tokenHint);
