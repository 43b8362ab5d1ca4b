/** The Steer page's request as a command or a program: curl, Python, OpenAI's client. Nothing here touches the document. */
import { requestBody, requestInterventions, requestSettings } from "./steer-request.js";

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

/** A shell command that sends the same request and prints the stream. @param {import("./steer-model.js").SteerState} state */
export function curlCommand(state, origin) {
  const json = JSON.stringify(requestBody(state), null, 2).replaceAll("'", "'\\''");
  return [
    `curl -N '${origin}/api/generate'`,
    "-H 'Content-Type: application/json'",
    "-H 'Accept: text/event-stream'",
    `-d '${json}'`,
  ].join(" \\\n  ");
}

/** A Python program, of the standard library alone, that prints the steered text while it is written. */
export function pythonProgram(state, origin) {
  const { watch: _, ...body } = requestBody(state);
  body.compare = false;
  return [
    "import json",
    "import urllib.request",
    "",
    `body = ${pythonLiteral(body)}`,
    `request = urllib.request.Request(${pythonLiteral(`${origin}/api/generate`)}, json.dumps(body).encode())`,
    'request.add_header("Content-Type", "application/json")',
    "with urllib.request.urlopen(request) as lines:",
    "    for line in lines:",
    '        event = json.loads(line[5:]) if line.startswith(b"data:") else {}',
    '        print(event.get("delta", ""), end="", flush=True)',
    "print()",
    "",
  ].join("\n");
}

/** How many stop strings OpenAI's API takes. */
const OPENAI_STOPS = 4;

/** Fields of our API that OpenAI's client has no argument for; they go into its `extra_body`. */
const EXTRA = new Set(["top_k", "min_p", "repetition_penalty"]);

/**
 * A Python program that has the same steered text written through OpenAI's client.
 * @param {import("./steer-model.js").SteerState} state
 * @param {string} model name of the model @param {string} origin
 */
export function openaiProgram({ prompt, interventions, settings }, model, origin) {
  const { max_new_tokens: most, ...sampling } = requestSettings(settings);
  /** @type {Record<string, any>} */
  const given = { model, prompt, max_tokens: most };
  const extra = {};
  for (const [name, value] of Object.entries(sampling)) (EXTRA.has(name) ? extra : given)[name] = value;
  const tooMany = (given.stop?.length ?? 0) > OPENAI_STOPS;
  if (tooMany) given.stop = given.stop.slice(0, OPENAI_STOPS);
  given.extra_body = { ...extra, mfn: { interventions: requestInterventions(interventions) } };
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${pythonLiteral(`${origin}/v1`)}, api_key="none")`,
    ...(tooMany ? [`# This API takes ${OPENAI_STOPS} stop strings; the others are left out.`] : []),
    "answer = client.completions.create(",
    ...Object.entries(given).map(([name, value]) => `    ${name}=${pythonLiteral(value, "    ")},`),
    ")",
    "print(answer.choices[0].text)",
    "",
  ].join("\n");
}
