// The page's own behaviour; the terminal is textual-serve's.
window.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => window.location.reload());
  // Focus the terminal as soon as it exists, so that it receives the first key without a click.
  const page = document.getElementById("terminal");
  const focus = () => {
    const keys = page.querySelector(".xterm-helper-textarea");
    if (keys) keys.focus({ preventScroll: true });
    return keys !== null;
  };
  if (!focus()) {
    const watcher = new MutationObserver(() => { if (focus()) watcher.disconnect(); });
    watcher.observe(page, { childList: true, subtree: true });
  }
});
