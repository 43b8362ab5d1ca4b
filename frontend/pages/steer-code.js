/** The Steer page's request as a program: Python, with OpenAI's own client. Nothing here touches the document. */
import { requestInterventions } from "./steer-state.js";

/** Plain data as a Python literal, long ones over several lines. */
export function pythonLiteral(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return JSON.stringify(value).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
  if (typeof value === "number") return String(value);
  const inner = `${indent}    `;
  const entries = Array.isArray(value)
    ? value.map((entry) => pythonLiteral(entry, inner))
    : Object.entries(value).map(([key, entry]) => `${JSON.stringify(key)}: ${pythonLiteral(entry, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = `${open}${entries.join(", ")}${close}`;
  if (line.length + indent.length <= 100 && !line.includes("\n")) return line;
  return `${open}\n${entries.map((entry) => `${inner}${entry},\n`).join("")}${indent}${close}`;
}

/** Fields of our API that OpenAI's client has no argument for; they go into its `extra_body`. */
const EXTRA = new Set(["top_k", "min_p", "repetition_penalty"]);

/**
 * A Python program that has the same steered text written through OpenAI's client.
 * @param {import("./steer-state.js").SteerState} state
 * @param {string} model name of the model @param {string} origin
 */
export function openaiProgram({ prompt, interventions, settings }, model, origin) {
  const { max_new_tokens: most, ...sampling } = settings;
  const given = { model, prompt, max_tokens: most };
  const extra = {};
  for (const [name, value] of Object.entries(sampling)) (EXTRA.has(name) ? extra : given)[name] = value;
  given.extra_body = { ...extra, mfn: { interventions: requestInterventions(interventions) } };
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${pythonLiteral(`${origin}/v1`)}, api_key="none")`,
    "answer = client.completions.create(",
    ...Object.entries(given).map(([name, value]) => `    ${name}=${pythonLiteral(value, "    ")},`),
    ")",
    "print(answer.choices[0].text)",
    "",
  ].join("\n");
}
