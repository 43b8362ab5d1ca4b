/**
 * Says of pairs of scripts whether they are the same program: `node scripts/same_program.mjs`, with [[name, one, other], ...] as
 * JSON on its standard input. Prints the names of those that are not.
 */
import { parse } from "acorn";

const PLACES = new Set(["start", "end"]);

/** The syntax tree without the places of things. */
function shape(text) {
  const tree = parse(text, { ecmaVersion: "latest", sourceType: "module" });
  return JSON.stringify(tree, (key, value) => (PLACES.has(key) ? undefined : typeof value === "bigint" ? `${value}n` : value));
}

let text = "";
for await (const part of process.stdin) text += part;
const differing = JSON.parse(text).filter(([, one, other]) => shape(one) !== shape(other));
for (const [name] of differing) console.log(`${name}: what is sent is another program than what is written`);
process.exit(differing.length ? 1 : 0);
