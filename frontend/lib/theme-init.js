// Runs before the first paint (a classic script in <head>), so that a chosen theme does not flash.
try {
  const theme = localStorage.getItem("mfn-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is switched off: the system's theme holds
}
