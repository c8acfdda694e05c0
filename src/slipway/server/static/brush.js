// Runs beside each other: what is dragged over in one picture is marked in all of them and in the table. The table's check
// boxes are what is marked; without this script they are checked by hand, and the pictures are whole.
(() => {
  "use strict";
  const root = document.querySelector("[data-brushed]");
  if (!root) return;
  const boxes = new Map([...root.querySelectorAll("tr[data-run]")].map((row) => [row.dataset.run, row.querySelector("input")]));
  const drawn = [...root.querySelectorAll("svg [data-run]")];
  const told = root.querySelector(".brush-told");
  const brushes = new Map(); // picture and axis -> {inside, shape}
  root.classList.add("can-brush");
  root.querySelectorAll(".brush-hint, .brush-told").forEach((one) => { one.hidden = false; });

  const show = () => {
    const marked = new Set([...boxes].filter(([, box]) => box.checked).map(([run]) => run));
    root.classList.toggle("has-marks", marked.size > 0);
    drawn.forEach((one) => one.classList.toggle("marked", marked.has(one.dataset.run)));
    boxes.forEach((box, run) => box.closest("tr").classList.toggle("marked", marked.has(run)));
    told.textContent = marked.size ? `${marked.size} of ${boxes.size} runs marked` : "";
  };

  const mark = () => {
    boxes.forEach((box, run) => { box.checked = brushes.size > 0 && [...brushes.values()].every((one) => one.inside.has(run)); });
    show();
  };

  const clear = () => {
    brushes.forEach((one) => one.shape.remove());
    brushes.clear();
    mark();
  };

  const place = (svg, event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());

  // Where each run's line crosses an axis: lines go from axis to axis, and have a corner on each.
  const corners = (svg) => new Map([...svg.querySelectorAll("path[data-run]")].map((one) => [
    one.dataset.run, one.getAttribute("d").slice(1).split("L").map((pair) => Number(pair.split(" ")[1])),
  ]));

  const brush = (svg, hit, key, found) => {
    let from = null;
    let shape = null;
    const span = (a, b) => [Math.min(a, b), Math.max(a, b)];
    const end = () => {
      if (from && !shape && brushes.has(key)) { brushes.get(key).shape.remove(); brushes.delete(key); mark(); }
      from = shape = null;
    };
    hit.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return; // a finger scrolls, and marks by a tap
      event.preventDefault();
      from = place(svg, event);
      hit.setPointerCapture(event.pointerId);
    });
    hit.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = place(svg, event);
      if (!shape && Math.hypot(to.x - from.x, to.y - from.y) < 3) return;
      if (!shape) {
        brushes.get(key)?.shape.remove();
        shape = document.createElementNS(svg.namespaceURI, "rect");
        shape.setAttribute("class", "brush");
        svg.append(shape);
      }
      const box = hit.getBBox();
      const [top, bottom] = span(from.y, to.y);
      const isAxis = hit.dataset.axis !== undefined;
      const [left, right] = isAxis ? [box.x + 4, box.x + box.width - 4] : span(from.x, to.x);
      for (const [name, value] of [["x", left], ["y", top], ["width", right - left], ["height", bottom - top]]) {
        shape.setAttribute(name, value);
      }
      brushes.set(key, { shape, inside: new Set(found(left, right, top, bottom)) });
      mark();
    });
    hit.addEventListener("pointerup", end);
    hit.addEventListener("pointercancel", end);
  };

  root.querySelectorAll("svg.parallel").forEach((svg, number) => {
    const lines = corners(svg);
    svg.querySelectorAll(".hit").forEach((hit) => {
      const axis = Number(hit.dataset.axis);
      brush(svg, hit, `parallel ${number} ${axis}`, (left, right, top, bottom) =>
        [...lines].filter(([, ys]) => ys[axis] >= top && ys[axis] <= bottom).map(([run]) => run));
    });
  });
  root.querySelectorAll("svg.scatter").forEach((svg, number) => {
    const dots = [...svg.querySelectorAll("circle[data-run]")].map((one) => [one.dataset.run, Number(one.getAttribute("cx")), Number(one.getAttribute("cy"))]);
    const hit = svg.querySelector(".hit");
    if (hit) brush(svg, hit, `scatter ${number}`, (left, right, top, bottom) =>
      dots.filter(([, x, y]) => x >= left && x <= right && y >= top && y <= bottom).map(([run]) => run));
  });

  drawn.forEach((one) => {
    one.addEventListener("click", () => { const box = boxes.get(one.dataset.run); box.checked = !box.checked; show(); });
    one.addEventListener("pointerenter", () => near(one.dataset.run, true));
    one.addEventListener("pointerleave", () => near(one.dataset.run, false));
  });
  const near = (run, is) => drawn.forEach((one) => { if (one.dataset.run === run) one.classList.toggle("near", is); });
  boxes.forEach((box, run) => {
    const row = box.closest("tr");
    box.addEventListener("change", show);
    for (const [name, is] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) {
      row.addEventListener(name, () => near(run, is));
    }
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
  show();
})();
