// A live page: parts that changed, or took long, are swapped as the server sends them. Without this script the page is read anew instead.
(() => {
  "use strict";
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  let source = null;
  let seen = main.dataset.live;

  const waits = () => main.querySelector("[aria-busy]") !== null;
  const arrived = document.getElementById("arrived");

  const swap = (part, html) => {
    const open = [...part.querySelectorAll("details")].map((one) => one.open);
    const held = part.contains(document.activeElement) ? document.activeElement : null;
    const at = held ? [...part.querySelectorAll("a, button, input, select, textarea, summary")].indexOf(held) : -1;
    const scrolled = [...part.querySelectorAll("pre")].map((one) => [one.scrollTop, one.scrollTop + one.clientHeight >= one.scrollHeight - 4]);
    part.innerHTML = html;
    part.removeAttribute("aria-busy");
    if (arrived && !waits()) arrived.textContent = "All of the page is there.";
    part.querySelectorAll("details").forEach((one, number) => { if (open[number]) one.open = true; });
    part.querySelectorAll("pre").forEach((one, number) => {
      if (scrolled[number]) one.scrollTop = scrolled[number][1] ? one.scrollHeight : scrolled[number][0];
    });
    if (at >= 0) part.querySelectorAll("a, button, input, select, textarea, summary")[at]?.focus({ preventScroll: true });
  };

  const again = () => { // where the rest cannot be had, the whole page says why
    if (waits()) window.location.replace(main.dataset.whole); else window.location.reload();
  };

  const end = () => { source?.close(); source = null; };

  const begin = () => {
    const address = new URL(window.location.href);
    address.hash = "";
    address.searchParams.set("live", seen);
    source = new EventSource(address);
    source.addEventListener("part", (event) => {
      const told = JSON.parse(event.data);
      const part = document.getElementById(`live-${told.name}`);
      if (!part) return;
      if (part.querySelector(":is(input, textarea, select):focus")) return; // somebody writes there
      swap(part, told.html);
      seen = event.lastEventId;
    });
    source.addEventListener("gone", () => { end(); again(); });
    source.addEventListener("still", () => { end(); delete main.dataset.live; });
  };

  document.addEventListener("visibilitychange", () => {
    if (!main.dataset.live) return;
    if (document.hidden) end(); else if (!source) begin();
  });
  // The page is painted before the server is asked to work for it; in a tab that nobody sees nothing is painted.
  if (document.hidden) begin();
  else requestAnimationFrame(() => setTimeout(() => { if (!source) begin(); }));
})();
