/** Words of the rubric and of flags: in the queue, in review, on the Feature page. */

export const rubric = {
  confidence: "How sure are you?",
  confidences: { low: "low", medium: "medium", high: "high" },
  oneConcept: "Is it one concept?",
  oneConcepts: { yes: "yes", partly: "partly", no: "no" },
  specificity: "How specific? (1: fires on much else; 5: on this alone)",
  specificities: { 1: "1", 2: "2", 3: "3", 4: "4", 5: "5" },
  flag: "What stands against naming it?",
  flags: { unclear: "unclear", polysemantic: "several things", dead: "dead", duplicate: "a duplicate" },
  evidence: "On what evidence?",
  of: { one_concept: "one concept", specificity: "specific", confidence: "sure" },
};

/** "one concept: yes · sure: high": the answers that somebody gave. */
export function answersOf(rating) {
  return Object.entries(rubric.of).filter(([name]) => (rating[name] ?? null) !== null).map(([name, words]) => `${words}: ${rating[name]}`).join(" · ");
}
