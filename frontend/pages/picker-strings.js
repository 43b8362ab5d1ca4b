/** What the field that finds a feature says. */

export const picker = {
  label: "Add a feature",
  placeholder: "Word, label or id such as 3/812",
  results: "Features found",
  nothing: (query) => `No feature matches “${query}”.`,
  found: (count) => `${count} features found`,
  unindexed: "the model has no index",
  facts: (promoted, rate) => (promoted ? `writes ${promoted} · fires on ${rate}` : `fires on ${rate}`),
};
