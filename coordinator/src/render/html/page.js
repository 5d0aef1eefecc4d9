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
    for (const title of ["Rule", "Ports", "Outcome"]) element("th", title, head).scope = "col";
    const body = element("tbody", undefined, table);
    for (const entry of data.sets[set]) {
      const line = element("tr", undefined, body);
      if (entry.wrong) line.className = "wrong";
      for (const text of [entry.rule, entry.ports, entry.outcome]) element("td", text, line);
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
