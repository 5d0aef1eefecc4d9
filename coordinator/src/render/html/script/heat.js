// The heat map: a canvas that draws what is in sight, with headers that stay, and a grid of one cell for assistive technology.

const heat = byId("heat");
const BAND = 18, GAP_LABEL = 11, SMALLEST = 3, LARGEST = 48;
// From this size on a cell has a symbol.
const LEGIBLE = 12;

const drawn = {
  from: [], to: [], cell: 0, zoom: 0, left: BAND, top: BAND, row: 0, column: 0, hover: null, colours: {}, asked: false,
};
const canvas = element("canvas", {});
const space = element("div", { class: "space", "aria-hidden": "true" }, canvas);
const spoken = element("div", { role: "row", class: "sr" });
const tip = element("div", { class: "tip", hidden: true });
const paint = canvas.getContext("2d");

const colour = (name) => (drawn.colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
const nameOf = (node) => data.nodes[node].id;

// Measures anew: what is shown, how large, and how wide the headers are.
const layOut = () => {
  const { from, to } = axes();
  Object.assign(drawn, { from, to, colours: {}, isFresh: false });
  paint.font = "11px system-ui, sans-serif";
  const widest = [...from, ...to].reduce((most, node) => Math.max(most, paint.measureText(nameOf(node)).width), 0);
  const band = orderNow() === "address" ? 0 : BAND;
  drawn.left = drawn.top = band + Math.min(150, widest + 10);
  const high = innerHeight * 0.85;
  // Room for a scroll bar.
  const wide = heat.parentElement.clientWidth - 20;
  const fit = Math.floor(Math.min((wide - drawn.left) / to.length, (high - drawn.top) / from.length));
  drawn.fit = Math.max(SMALLEST + 1, Math.min(32, fit || 1));
  drawn.cell = drawn.zoom || drawn.fit;
  heat.dataset.cell = drawn.cell;
  heat.dataset.header = drawn.left;
  space.style.width = `${drawn.left + to.length * drawn.cell + 1}px`;
  space.style.height = `${drawn.top + from.length * drawn.cell + 1}px`;
  heat.style.maxHeight = `${Math.round(high)}px`;
  drawn.row = Math.min(drawn.row, Math.max(0, from.length - 1));
  drawn.column = Math.min(drawn.column, Math.max(0, to.length - 1));
  heat.setAttribute("aria-rowcount", from.length + 1);
  heat.setAttribute("aria-colcount", to.length + 1);
  speak();
  askDraw();
};

const askDraw = () => {
  if (drawn.asked) return;
  drawn.asked = true;
  requestAnimationFrame(() => { drawn.asked = false; draw(); });
};

// What is not in sight is drawn when it comes into sight.
const isInSight = () => {
  const { top, bottom } = heat.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
};

const draw = () => {
  drawn.isStale = !isInSight();
  if (drawn.isStale) return;
  const ratio = devicePixelRatio || 1;
  const wide = Math.min(heat.clientWidth, space.offsetWidth), high = Math.min(heat.clientHeight, space.offsetHeight);
  canvas.width = Math.round(wide * ratio);
  canvas.height = Math.round(high * ratio);
  canvas.style.width = `${wide}px`;
  canvas.style.height = `${high}px`;
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  paint.fillStyle = colour("bg");
  paint.fillRect(0, 0, wide, high);
  const { cell, left, top } = drawn;
  const x = (column) => left + column * cell - heat.scrollLeft;
  const y = (row) => top + row * cell - heat.scrollTop;
  const seen = (scrolled, size, count) => [
    Math.max(0, Math.floor(scrolled / cell)), Math.min(count, Math.ceil((scrolled + size) / cell)),
  ];
  const rows = seen(heat.scrollTop, high - top, drawn.from.length);
  const columns = seen(heat.scrollLeft, wide - left, drawn.to.length);
  paint.save();
  paint.beginPath();
  paint.rect(left, top, wide - left, high - top);
  paint.clip();
  (cell < LEGIBLE ? drawSmall : drawCells)(x, y, rows, columns);
  drawBorders(x, y, wide, high);
  drawMarks(x, y);
  paint.restore();
  drawHeader(drawn.from, rows, y, true, high);
  drawHeader(drawn.to, columns, x, false, wide);
};

// One pixel a cell, made once for what is shown: scrolling over small cells only magnifies it.
const picture = element("canvas", {});
const makePicture = () => {
  const { from, to } = drawn;
  drawn.levels = new Uint8Array(from.length * to.length);
  picture.width = Math.max(1, to.length);
  picture.height = Math.max(1, from.length);
  const on = picture.getContext("2d");
  from.forEach((source, row) => to.forEach((destination, column) => {
    const level = levelAt(source, destination);
    drawn.levels[row * to.length + column] = level;
    on.globalAlpha = isLit(source, destination) ? 1 : 0.2;
    on.fillStyle = colour(levels[level].name);
    on.fillRect(column, row, 1, 1);
  }));
  drawn.isFresh = true;
};

const drawSmall = (x, y, [firstRow, lastRow], [firstColumn, lastColumn]) => {
  if (!drawn.isFresh) makePicture();
  const { cell, from, to } = drawn;
  paint.imageSmoothingEnabled = false;
  paint.drawImage(picture, x(0), y(0), to.length * cell, from.length * cell);
  paint.lineWidth = 1;
  paint.beginPath();
  paint.strokeStyle = colour("gapfg");
  for (let row = firstRow; row < lastRow; row += 1) {
    for (let column = firstColumn; column < lastColumn; column += 1) {
      if (drawn.levels[row * to.length + column] !== GAP) continue;
      paint.moveTo(x(column) + 0.5, y(row) + cell - 0.5);
      paint.lineTo(x(column) + cell - 0.5, y(row) + 0.5);
    }
  }
  paint.stroke();
  if (cell < 6) return;
  paint.fillStyle = colour("bg");
  for (let row = firstRow; row < lastRow; row += 1) paint.fillRect(x(firstColumn), y(row + 1) - 1, x(lastColumn) - x(firstColumn), 1);
  for (let column = firstColumn; column < lastColumn; column += 1) paint.fillRect(x(column + 1) - 1, y(firstRow), 1, y(lastRow) - y(firstRow));
};

// One pass a level: the colour changes five times, not forty thousand.
const drawCells = (x, y, [firstRow, lastRow], [firstColumn, lastColumn]) => {
  const { cell } = drawn;
  const size = cell - 1;
  const places = levels.map(() => []);
  for (let row = firstRow; row < lastRow; row += 1) {
    for (let column = firstColumn; column < lastColumn; column += 1) {
      const from = drawn.from[row], to = drawn.to[column];
      places[levelAt(from, to)].push([row, column, isLit(from, to)]);
    }
  }
  places.forEach((list, level) => {
    const look = levels[level];
    for (const isBright of [true, false]) {
      paint.globalAlpha = isBright ? 1 : 0.2;
      paint.fillStyle = colour(look.name);
      for (const [row, column, lit] of list) if (lit === isBright) paint.fillRect(x(column), y(row), size, size);
      paint.fillStyle = colour(`${look.name}fg`);
      if (level === 0) continue;
      paint.font = `${Math.min(15, Math.round(cell * 0.6))}px system-ui, sans-serif`;
      paint.textAlign = "center";
      paint.textBaseline = "middle";
      for (const [row, column, lit] of list) {
        if (lit !== isBright) continue;
        const text = cell >= 34 ? mode.number(tallyAt(drawn.from[row], drawn.to[column])) : look.glyph;
        const mark = cell >= 20 ? data.sets[setOf(drawn.from[row], drawn.to[column]) - 1][0] : "";
        paint.fillText(text + mark, x(column) + size / 2, y(row) + size / 2 + 1);
      }
    }
  });
  paint.globalAlpha = 1;
};

const drawBorders = (x, y, wide, high) => {
  paint.strokeStyle = colour("fg");
  paint.lineWidth = 1;
  paint.beginPath();
  for (const { at } of groupsOf(drawn.from)) if (at) { paint.moveTo(drawn.left, y(at) - 0.5); paint.lineTo(wide, y(at) - 0.5); }
  for (const { at } of groupsOf(drawn.to)) if (at) { paint.moveTo(x(at) - 0.5, drawn.top); paint.lineTo(x(at) - 0.5, high); }
  paint.stroke();
};

// The cell under the pointer with its row and column, and the one under the keyboard.
const drawMarks = (x, y) => {
  const { cell, hover } = drawn;
  if (hover) {
    paint.fillStyle = colour("fg");
    paint.globalAlpha = 0.12;
    paint.fillRect(0, y(hover[0]), 1e5, cell);
    paint.fillRect(x(hover[1]), 0, cell, 1e5);
    paint.globalAlpha = 1;
  }
  const around = (row, column, width) => {
    paint.lineWidth = width;
    paint.strokeStyle = colour("focus");
    paint.strokeRect(x(column) - 1.5, y(row) - 1.5, cell + 2, cell + 2);
  };
  if (document.activeElement === heat) around(drawn.row, drawn.column, 3);
  const [from, to] = state.pair.split(",").map((id) => nodePlace.get(id));
  const row = drawn.from.indexOf(from), column = drawn.to.indexOf(to);
  if (state.pair && row >= 0 && column >= 0) around(row, column, 3);
};

// Runs of the same group: where each begins, and how long it is.
const groupsOf = (nodes) => {
  if (orderNow() === "address") return [];
  const runs = [];
  nodes.forEach((node, at) => {
    const name = groupOf(node);
    if (runs.at(-1)?.name === name) runs.at(-1).count += 1;
    else runs.push({ name, at, count: 1 });
  });
  return runs;
};

const drawHeader = (nodes, [first, last], place, isRow, end) => {
  const { cell, left, top } = drawn;
  const deep = isRow ? left : top;
  paint.save();
  if (isRow) { paint.beginPath(); paint.rect(0, top - 5, left, end); paint.clip(); }
  else {
    // Columns are rows on their side.
    paint.beginPath(); paint.rect(left - 5, 0, end, top); paint.clip();
    paint.rotate(-Math.PI / 2);
    paint.translate(-top, 0);
  }
  paint.fillStyle = colour("fg");
  paint.textBaseline = "middle";
  paint.font = "11px system-ui, sans-serif";
  paint.textAlign = isRow ? "right" : "left";
  const stride = Math.ceil(GAP_LABEL / cell);
  for (let at = first; at < last; at += 1) {
    const isHovered = drawn.hover && drawn.hover[isRow ? 0 : 1] === at;
    if (at % stride && !isHovered) continue;
    const middle = place(at) + cell / 2;
    if (isHovered) {
      paint.fillStyle = colour("fg");
      paint.fillRect(0, middle - 8, deep, 16);
      paint.fillStyle = colour("bg");
    }
    paint.fillText(nameOf(nodes[at]), isRow ? deep - 4 : 4, middle);
    paint.fillStyle = colour("fg");
  }
  drawBands(nodes, place, isRow, deep, end);
  paint.restore();
};

const drawBands = (nodes, place, isRow, deep, end) => {
  paint.textAlign = "center";
  for (const { name, at, count } of groupsOf(nodes)) {
    const start = Math.max(place(at), deep), stop = Math.min(place(at + count), end);
    if (stop - start < 2) continue;
    paint.fillStyle = colour("card");
    paint.strokeStyle = colour("line");
    const across = isRow ? 0 : deep - BAND;
    paint.fillRect(across, start, BAND - 2, stop - start - 1);
    paint.strokeRect(across + 0.5, start + 0.5, BAND - 3, stop - start - 2);
    paint.save();
    paint.translate(across + BAND / 2 - 1, (start + stop) / 2);
    if (isRow) paint.rotate(-Math.PI / 2);
    else paint.rotate(Math.PI / 2);
    paint.fillStyle = colour("fg");
    const text = shortened(name, stop - start - 6);
    if (text) paint.fillText(text, 0, 0);
    paint.restore();
  }
};

const shortened = (text, wide) => {
  if (paint.measureText(text).width <= wide) return text;
  for (let length = text.length - 1; length > 2; length -= 1) {
    const cut = `${text.slice(0, length)}\u2026`;
    if (paint.measureText(cut).width <= wide) return cut;
  }
  return "";
};

// === Pointer and keys ===

const cellAt = (event) => {
  const box = heat.getBoundingClientRect();
  const inX = event.clientX - box.left - heat.clientLeft, inY = event.clientY - box.top - heat.clientTop;
  if (inX < drawn.left || inY < drawn.top) return null;
  const column = Math.floor((inX + heat.scrollLeft - drawn.left) / drawn.cell);
  const row = Math.floor((inY + heat.scrollTop - drawn.top) / drawn.cell);
  return row < drawn.from.length && column < drawn.to.length ? [row, column] : null;
};

const describe = (from, to) => {
  const tally = tallyAt(from, to);
  const lines = [`${nameOf(from)} asks ${nameOf(to)}: ${mode.words(tally)}`];
  const set = setOf(from, to);
  if (set && (tally.bad || tally.gap || tally.waived)) {
    const rows = rowsOf(set).filter((row) => fitsRow(row) && row[STANDING] > WAIVED);
    lines.push(...told(troubles(rows), 3));
    const over = [...new Set(rows.flatMap((row) => row[FINDINGS]))].map((place) => data.findings[place].id);
    if (over.length) lines.push(`under ${over.join(", ")}`);
  }
  return lines;
};

const showTip = (event, at) => {
  tip.hidden = !at;
  if (!at) return;
  tip.replaceChildren(...describe(drawn.from[at[0]], drawn.to[at[1]]).map((line) => element("div", {}, line)));
  const { width, height } = tip.getBoundingClientRect();
  const beside = event.clientX + 16 + width > innerWidth ? event.clientX - width - 12 : event.clientX + 16;
  const below = event.clientY + 16 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 16;
  tip.style.left = `${Math.max(4, beside)}px`;
  tip.style.top = `${Math.max(4, below)}px`;
};

// Says the cell under the keyboard: a new element each time, so that it is read each time.
const speak = () => {
  const from = drawn.from[drawn.row], to = drawn.to[drawn.column];
  if (from === undefined || to === undefined) { spoken.replaceChildren(); heat.removeAttribute("aria-activedescendant"); return; }
  const id = `cell-${drawn.row}-${drawn.column}`;
  spoken.setAttribute("aria-rowindex", drawn.row + 2);
  spoken.replaceChildren(
    element("span", { role: "rowheader", "aria-colindex": 1 }, nameOf(from)),
    element("span", { role: "gridcell", id, "aria-colindex": drawn.column + 2 }, describe(from, to).join("; ")),
  );
  heat.setAttribute("aria-activedescendant", id);
};

const point = (row, column) => {
  drawn.row = Math.max(0, Math.min(drawn.from.length - 1, row));
  drawn.column = Math.max(0, Math.min(drawn.to.length - 1, column));
  const { cell, left, top } = drawn;
  const kept = (scroll, size, header, at) =>
    Math.min(at * cell, Math.max(scroll, (at + 1) * cell + header - size));
  heat.scrollLeft = kept(heat.scrollLeft, heat.clientWidth, left, drawn.column);
  heat.scrollTop = kept(heat.scrollTop, heat.clientHeight, top, drawn.row);
  speak();
  askDraw();
};

// The next cell with something wrong, in reading order, around the end.
const nextWrong = (by) => {
  const all = drawn.from.length * drawn.to.length;
  let at = drawn.row * drawn.to.length + drawn.column;
  for (let step = 0; step < all; step += 1) {
    at = (at + by + all) % all;
    const row = Math.floor(at / drawn.to.length), column = at % drawn.to.length;
    if (levelAt(drawn.from[row], drawn.to[column]) > WAIVED) { point(row, column); return; }
  }
};

const openAt = (row, column) => {
  const from = drawn.from[row], to = drawn.to[column];
  if (!setOf(from, to)) return;
  opener = heat;
  go({ pair: `${nameOf(from)},${nameOf(to)}`, anchor: "" });
};

const zoom = (factor, about) => {
  const before = drawn.cell;
  const next = factor ? Math.max(SMALLEST, Math.min(LARGEST, Math.round(before * factor) || 1)) : 0;
  drawn.zoom = factor && next === before ? Math.max(SMALLEST, Math.min(LARGEST, before + Math.sign(factor - 1))) : next;
  const inX = about ? about[0] : heat.clientWidth / 2, inY = about ? about[1] : heat.clientHeight / 2;
  const kept = (scroll, at, header) => (scroll + Math.max(0, at - header)) / before;
  const column = kept(heat.scrollLeft, inX, drawn.left), row = kept(heat.scrollTop, inY, drawn.top);
  layOut();
  heat.scrollLeft = column * drawn.cell - Math.max(0, inX - drawn.left);
  heat.scrollTop = row * drawn.cell - Math.max(0, inY - drawn.top);
};

const heatKeys = (event) => {
  const page = 10;
  const { row, column, from, to } = drawn;
  const keys = {
    ArrowUp: () => point(row - 1, column), ArrowDown: () => point(row + 1, column),
    ArrowLeft: () => point(row, column - 1), ArrowRight: () => point(row, column + 1),
    PageUp: () => point(row - page, column), PageDown: () => point(row + page, column),
    Home: () => point(event.ctrlKey ? 0 : row, 0),
    End: () => point(event.ctrlKey ? from.length - 1 : row, to.length - 1),
    n: () => nextWrong(1), p: () => nextWrong(-1),
    "+": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: () => zoom(0),
    Enter: () => openAt(row, column), " ": () => openAt(row, column),
  };
  if (!keys[event.key] || event.altKey || event.metaKey || (event.ctrlKey && !["Home", "End"].includes(event.key))) return;
  event.preventDefault();
  keys[event.key]();
};

const startHeat = () => {
  heat.append(spoken, space);
  document.body.append(tip);
  const attributes = {
    role: "grid", tabindex: "0", "aria-label": "Heat map of who reaches whom", "aria-describedby": "heat-keys",
  };
  for (const [name, value] of Object.entries(attributes)) heat.setAttribute(name, value);
  heat.after(element("p", { id: "heat-keys", class: "small" },
    "Arrow keys move, N and P go to the next and the previous cell with something wrong, Enter opens it, + and \u2212 zoom. "
    + "The list of pairs below says the same without a picture."));
  addEventListener("scroll", () => { if (drawn.isStale) askDraw(); }, { passive: true });
  heat.addEventListener("scroll", askDraw, { passive: true });
  heat.addEventListener("focus", () => { speak(); askDraw(); });
  heat.addEventListener("blur", askDraw);
  heat.addEventListener("keydown", heatKeys);
  heat.addEventListener("pointermove", (event) => {
    const at = cellAt(event);
    if (String(at) !== String(drawn.hover)) { drawn.hover = at; askDraw(); }
    showTip(event, at);
  });
  heat.addEventListener("pointerleave", () => { drawn.hover = null; tip.hidden = true; askDraw(); });
  heat.addEventListener("click", (event) => {
    const at = cellAt(event);
    if (at) { point(...at); openAt(...at); }
  });
  heat.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = heat.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, [event.clientX - box.left, event.clientY - box.top]);
  }, { passive: false });
  new ResizeObserver(() => {
    const wide = heat.parentElement.clientWidth;
    if (wide !== drawn.wide) { drawn.wide = wide; layOut(); }
  }).observe(heat.parentElement);
};
