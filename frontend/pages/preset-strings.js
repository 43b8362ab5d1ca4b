/** What the dialogs that keep presets, and show their versions, say. */

export const presets = {
  presetName: "Name",
  presetDescription: "What it does (optional)",
  save: "Save",
  cancel: "Cancel",
  saved: (name) => `Saved “${name}”.`,
  saveAs: "Save as",
  nextVersion: (name, version) => `Version ${version} of “${name}”`,
  newPreset: "A new preset",
  latest: "latest",
  close: "Close",
  showVersion: "Show",
  restoreVersion: "Go back to this",
  restored: (version, now) => `Version ${now} says what version ${version} said.`,
};
