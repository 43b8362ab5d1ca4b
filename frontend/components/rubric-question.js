/** A question of which one answer can be chosen, or none: a second click on an answer, or Space, takes it back. */

import { h } from "../lib/dom.js";

/**
 * @param {string} name - of the field in its form
 * @param {string} legend
 * @param {Record<string, string>} answers - what each value is called
 * @param {{mark?: (value: string) => any, changed?: () => void}} [how] - what stands behind an answer; what follows from a click
 */
export function rubricQuestion(name, legend, answers, { mark = () => null, changed = () => {} } = {}) {
  const question = h("fieldset", { class: "rubric-question" }, h("legend", {}, legend));
  const again = ({ target }) => {
    if (target.dataset.on === "yes") target.checked = false;
    noteAnswers(question);
    changed();
  };
  const release = (event) => { // browsers do not click what is chosen already
    if (event.key !== " " || event.target.dataset.on !== "yes") return;
    event.preventDefault();
    event.target.click();
  };
  question.append(...Object.entries(answers).map(([value, words]) => h("label", { class: "chip" }, h("input", { type: "radio", name, value, onclick: again, onkeyup: release }), h("span", {}, words), mark(value))));
  return question;
}

/** After answers were set by code: which of those within `element` a click would take back. */
export function noteAnswers(element) {
  for (const option of element.querySelectorAll("input[type=radio]")) option.dataset.on = option.checked ? "yes" : "";
}
