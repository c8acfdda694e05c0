// Curves: what is dragged over in one picture is asked of the server as a range of steps, for all of them. Without this script
// the two boxes above do the same; where one has come to is in the address.
(() => {
  "use strict";
  const form = document.querySelector("form[data-zoom]");
  if (!form || !matchMedia("(any-pointer: fine)").matches) return; // a finger scrolls
  document.querySelectorAll(".zoom-hint").forEach((one) => { one.hidden = false; });
  document.querySelectorAll("svg.curves .plot").forEach((plot) => {
    const svg = plot.ownerSVGElement;
    const [low, high] = [Number(plot.dataset.low), Number(plot.dataset.high)];
    const box = plot.getBBox();
    let from = null;
    let shape = null;
    const across = (event) => {
      const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
      return Math.min(box.x + box.width, Math.max(box.x, x));
    };
    const step = (x) => low + ((x - box.x) / box.width) * (high - low);
    const end = () => {
      if (shape) shape.remove();
      from = shape = null;
    };
    plot.classList.add("can-zoom");
    plot.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return;
      event.preventDefault();
      from = across(event);
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const to = across(event);
      if (!shape) {
        if (Math.abs(to - from) < 3) return;
        shape = document.createElementNS(svg.namespaceURI, "rect");
        shape.setAttribute("class", "brush");
        svg.append(shape);
      }
      const sides = [["x", Math.min(from, to)], ["y", box.y], ["width", Math.abs(to - from)], ["height", box.height]];
      for (const [name, value] of sides) shape.setAttribute(name, value);
    });
    plot.addEventListener("pointerup", (event) => {
      const chosen = shape ? [from, across(event)].sort((a, b) => a - b).map(step) : null;
      end();
      if (!chosen || Math.floor(chosen[1]) < Math.ceil(chosen[0])) return; // no whole step lies between
      form.elements.from.value = Math.ceil(chosen[0]);
      form.elements.to.value = Math.floor(chosen[1]);
      form.requestSubmit();
    });
    plot.addEventListener("pointercancel", end);
  });
})();
