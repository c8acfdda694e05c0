// Keys: "/" goes to the page's search box, Escape leaves it; what scrolls sideways can be scrolled by the arrow keys.
// Everything else is reached by Tab, as browsers have it.
(() => {
  "use strict";
  document.addEventListener("keydown", (event) => {
    const writes = event.target.closest("input, textarea, select");
    if (event.key === "Escape" && writes) writes.blur();
    if (event.key !== "/" || writes || event.ctrlKey || event.metaKey || event.altKey) return;
    const box = document.querySelector("main input[type=search], main .search input");
    if (!box) return;
    event.preventDefault();
    box.focus();
    box.select();
  });

  const reachable = () => {
    for (const one of document.querySelectorAll("main .wide, main pre, main figure, main .scroll")) {
      const scrolls = one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1;
      if (scrolls) one.tabIndex = 0; else if (one.tabIndex === 0) one.removeAttribute("tabindex");
    }
  };
  reachable();
  window.addEventListener("resize", reachable);
})();
