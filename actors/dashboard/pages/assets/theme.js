// Before anything is painted: the colours that were chosen here last, else those of the system.
try {
  const chosen = localStorage.getItem('theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is switched off: the system's colours.
}
