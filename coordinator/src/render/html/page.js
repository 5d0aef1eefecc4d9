"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const matrix = document.getElementById("matrix");
  const region = document.getElementById("pair");
  if (!matrix) return;
  const element = (tag, text, parent) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  let chosen = null;
  // One transport, or all of them.
  let only = null;
  const isShown = (entry) => only === null || entry.transport === only;
  const cells = [...matrix.querySelectorAll("td[data-p]")];
  const drawn = new Map(cells.map((cell) => [cell, [cell.className, [...cell.childNodes]]]));
  const glyphs = { none: "", ok: "\u2713", gap: "?", bad: "\u2715" };
  const worse = Object.keys(glyphs);
  const select = (transport) => {
    only = transport;
    for (const [cell, [className, nodes]] of drawn) {
      if (only === null) {
        cell.className = className;
        cell.replaceChildren(...nodes);
        continue;
      }
      const rows = data.sets[Number(cell.dataset.p.split(",")[2])].filter(isShown);
      const worst = rows.reduce((most, entry) => Math.max(most, worse.indexOf(entry.class)), 0);
      cell.className = worse[worst];
      cell.replaceChildren(glyphs[worse[worst]]);
    }
    if (chosen) show(chosen);
  };
  const chooser = document.getElementById("transports");
  if (chooser && data.transports.length > 1) {
    ["all", ...data.transports].forEach((name, index) => {
      const button = element("button", name, chooser);
      button.type = "button";
      button.setAttribute("aria-pressed", String(index === 0));
      button.addEventListener("click", () => {
        for (const other of chooser.children) other.setAttribute("aria-pressed", String(other === button));
        select(index === 0 ? null : index - 1);
      });
    });
  }
  const show = (cell) => {
    const [row, column, set] = cell.dataset.p.split(",").map(Number);
    if (chosen) chosen.classList.remove("chosen");
    chosen = cell;
    cell.classList.add("chosen");
    region.replaceChildren();
    element("h3", `${data.sources[row]} asks ${data.destinations[column]}`, region);
    const table = element("table", undefined, region);
    table.className = "rows";
    const head = element("tr", undefined, element("thead", undefined, table));
    for (const title of ["Rule", "Transport", "Ports", "Outcome"]) element("th", title, head).scope = "col";
    const body = element("tbody", undefined, table);
    for (const entry of data.sets[set].filter(isShown)) {
      const line = element("tr", undefined, body);
      if (entry.class === "bad" || entry.class === "gap") line.className = "wrong";
      const texts = [entry.rule, data.transports[entry.transport], entry.ports, entry.outcome];
      for (const text of texts) element("td", text, line);
    }
    history.replaceState(null, "", `#pair-${data.sources[row]}-${data.destinations[column]}`);
  };
  const move = (cell, rows, columns) => {
    const line = cell.parentElement.parentElement.rows[cell.parentElement.sectionRowIndex + rows];
    const next = line && line.cells[cell.cellIndex + columns];
    if (next && next.dataset.p) next.focus();
  };
  const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  matrix.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-p]");
    if (cell) show(cell);
  });
  matrix.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td[data-p]");
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); show(cell); }
    if (arrows[event.key]) { event.preventDefault(); move(cell, ...arrows[event.key]); }
  });
  const wanted = /^#pair-(.+)-(.+)$/.exec(decodeURIComponent(location.hash));
  if (wanted) {
    const row = data.sources.indexOf(wanted[1]), column = data.destinations.indexOf(wanted[2]);
    const cell = matrix.tBodies[0].rows[row]?.cells[column + 1];
    if (cell?.dataset.p) { show(cell); cell.scrollIntoView({ block: "center" }); }
  }
})();
