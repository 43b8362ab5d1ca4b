/** What a list of features that fired says. */

export const hits = {
  unnamed: "unnamed",
  valueTitle: "Value: how strongly it fires",
  shareTitle: "Share of the residual that it explains",
};
