// Runs before the first paint (a classic script in <head>), so that what was chosen does not flash. See settings.js.
try {
  const kept = JSON.parse(localStorage.getItem("mfn-settings") ?? "{}");
  for (const name of ["theme", "density", "motion"]) if (typeof kept?.[name] === "string") document.documentElement.dataset[name] = kept[name];
} catch {
  // storage is switched off, or holds what nobody here wrote: the system's choices hold
}
