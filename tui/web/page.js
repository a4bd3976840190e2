// What the page does by itself; the terminal is textual-serve's.
window.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => window.location.reload());
  // The first key belongs to the terminal, without a click: it is focused as soon as it is there.
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
