// The one thing that the page does by itself; the terminal is textual-serve's.
window.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => window.location.reload());
});
