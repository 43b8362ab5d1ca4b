/** Words of labels as files. */

import { formatInteger, plural } from "../lib/format.js";

const events = (count) => plural(count, "event", "events");

export const labelFiles = {
  lead: "Labels, votes, comments and their history. What is hidden in a blind campaign is in no file until it is done.",
  formats: { jsonl: "Everything that was said (JSON Lines)", csv: "What stands, as a table (CSV)", neuronpedia: "Labels as Neuronpedia’s explanations" },
  bring: "Bring a file in:",
  file: "File of labels",
  looking: "Looking what it would do…",
  taking: "Taking it in…",
  take: (count) => `Take in ${events(count)}`,
  summary: ({ taken_in: taken, n_problems: wrong, new: fresh, already_here: here, features, new_collection_events: collected }) =>
    [
      wrong ? "Nothing was taken in" : `${taken ? "Taken in" : "It would add"}: ${events(fresh)} on ${plural(features, "feature", "features")}`,
      collected > 0 && `${formatInteger(collected)} on collections`,
      `${formatInteger(here)} are here already.`,
    ].filter(Boolean).join("; "),
  problems: (count) => `${plural(count, "line is", "lines are")} wrong`,
  problem: (line, message, hint) => `Line ${formatInteger(line)}: ${message}: ${hint}`,
  leftOut: "Left out",
  left: (count, message, lines) => `${events(count)}: ${message} (${lines.length === 1 ? "line" : "lines"} ${lines.join(", ")}${count > lines.length ? ", …" : ""})`,
  people: "Who said it",
  person: ({ name, becomes_name: becomes, events: count }) => `${name} → ${becomes}: ${events(count)}`,
};
