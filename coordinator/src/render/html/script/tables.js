// The tables that follow the filters: the small matrix, the summary by group, the pairs, and what is hidden in other lists.

const PAGE = 100, ON_PAPER = 500;
let pairsShown = PAGE;

// The table of a small cluster: the same cells, with other numbers in them.
const refreshMatrix = () => {
  const matrix = byId("matrix");
  if (!matrix) return;
  const words = judged.words;
  [...matrix.tBodies[0].rows].forEach((line, row) => {
    const from = data.sources[row];
    [...line.cells].slice(1).forEach((cell, column) => {
      const to = data.destinations[column];
      if (!setOf(from, to)) return;
      const tally = tallyAt(from, to), level = levels[mode.level(tally)];
      const tests = tally.ok + tally.waived + tally.gap + tally.bad, wrong = tally.bad || tally.gap || tally.waived;
      cell.className = `${level.name}${isLit(from, to) ? "" : " dim"}`;
      cell.classList.toggle("chosen", state.pair === `${nameOf(from)},${nameOf(to)}`);
      const mark = filters.some((key) => key !== "finding" && state[key]) ? "" : data.sets[setOf(from, to) - 1][0];
      const text = wrong ? `${wrong} of ${tests}` : tests ? String(tests) : "";
      cell.firstElementChild.replaceChildren(
        element("b", { "aria-hidden": "true" }, level.glyph), " ", text,
        mark && element("sub", {}, mark),
        element("span", { class: "sr" }, `tests ${level.words}`),
      );
    });
    line.hidden = words.length > 0 && !data.destinations.some((to) => setOf(from, to) && fitsPair(words, from, to));
  });
};

// Group by group, in the order that is chosen. A cell narrows the search down to its pairs.
const refreshGroups = () => {
  const table = byId("groups");
  if (!table) return;
  const by = orderNow() === "address" ? "role" : orderNow();
  byId("summary").textContent = `Summary by ${by.replace("label:", "")}`;
  // Looked up once for each node: there are tens of thousands of pairs.
  const group = data.nodes.map((_, node) => groupOf(node, by));
  const tallies = new Map(data.sources.map((from) => [group[from], new Map()]));
  for (const from of data.sources) {
    const line = tallies.get(group[from]);
    for (const to of data.destinations) {
      if (!setOf(from, to)) continue;
      if (!line.has(group[to])) line.set(group[to], { ...nothing });
      const sum = line.get(group[to]), tally = tallyAt(from, to);
      for (const kind in sum) sum[kind] += tally[kind];
    }
  }
  const compared = new Intl.Collator("en", { numeric: true }).compare;
  const groups = (nodes) => [...new Set(nodes.map((node) => group[node]))].sort(compared);
  const to = groups(data.destinations);
  const quoted = (name) => (by.startsWith("label:") ? `"${by.slice(6)}=${name}"` : `"${name}"`);
  table.tHead.replaceChildren(element("tr", {}, element("td", { class: "corner" }, "from \u2193 to \u2192"),
    to.map((name) => element("th", { scope: "col" }, name))));
  table.tBodies[0].replaceChildren(...groups(data.sources).map((source) => element("tr", {},
    element("th", { scope: "row" }, source),
    to.map((destination) => {
      const tally = tallies.get(source).get(destination);
      if (!tally) return element("td", { class: "none" }, element("span", { class: "sr" }, "nothing to test"));
      const level = levels[mode.level(tally)];
      const narrow = () => go({ q: `from:${quoted(source)} to:${quoted(destination)}` });
      return element("td", { class: level.name }, element("button", { type: "button", onclick: narrow },
        element("b", { "aria-hidden": "true" }, level.glyph), " ", mode.words(tally)));
    }))));
};

// Every pair that the filters leave, worst first or as the column says.
const pairsNow = () => {
  const found = [];
  for (const from of data.sources) {
    for (const to of data.destinations) {
      const set = setOf(from, to);
      if (!set || !fitsPair(judged.words, from, to)) continue;
      const level = judged.levels[set - 1];
      if (!level || (!state.all && level <= WAIVED)) continue;
      if (judged.finding >= 0 && !isLit(from, to)) continue;
      found.push({ from, to, set, level, tally: judged.tallies[set - 1] });
    }
  }
  const keys = {
    from: (one) => one.from, to: (one) => one.to, wrong: (one) => one.tally.bad, gaps: (one) => one.tally.gap,
  };
  const key = keys[state.sort.replace("-", "")];
  const turn = state.sort.startsWith("-") ? -1 : 1;
  found.sort((a, b) => (key ? turn * (key(a) - key(b)) : b.level - a.level || b.tally.bad - a.tally.bad));
  return found;
};

const findingLinks = (rows) => [...new Set(rows.flatMap((row) => row[FINDINGS]))].sort((a, b) => a - b)
  .flatMap((place) => [element("a", { href: `#${data.findings[place].id}` }, data.findings[place].id), " "]);

const pairLine = ({ from, to, set, tally }) => {
  const rows = rowsOf(set).filter((row) => fitsRow(row) && (judged.finding < 0 || row[FINDINGS].includes(judged.finding)));
  const wrong = rows.filter((row) => row[STANDING] > WAIVED);
  const tests = tally.ok + tally.waived + tally.gap + tally.bad;
  return element("tr", {},
    element("td", {}, element("a", { href: `#pair=${nameOf(from)},${nameOf(to)}` }, nameOf(from), " \u2192 "), hostOf(from)),
    element("td", {}, nameOf(to), hostOf(to)),
    element("td", {}, tally.bad ? `${tally.bad} of ${tests}` : ""),
    element("td", {}, tally.gap ? `${tally.gap} of ${tests}` : ""),
    element("td", {}, told(troubles(rows), 3).join("; ") || mode.words(tally)),
    element("td", {}, findingLinks(wrong)),
  );
};
const hostOf = (node) => data.nodes[node].host && element("span", { class: "small host" }, data.nodes[node].host);

const columns = [["from", "From"], ["to", "To"], ["wrong", "Wrong"], ["gaps", "Not measured"], ["", "What"], ["", "Cause"]];
const refreshPairs = (most = pairsShown) => {
  const table = byId("pairtable");
  if (!table) return;
  const found = pairsNow();
  const [sorted, down] = [state.sort.replace("-", ""), state.sort.startsWith("-")];
  table.tHead.replaceChildren(element("tr", {}, columns.map(([key, title]) => {
    if (!key) return element("th", { scope: "col" }, title);
    const isSorted = sorted === key;
    const isNumber = key === "wrong" || key === "gaps";
    const turned = (isSorted ? !down : isNumber) ? `-${key}` : key;
    const sign = isSorted ? (down ? " \u25be" : " \u25b4") : "";
    return element("th", { scope: "col", "aria-sort": isSorted ? (down ? "descending" : "ascending") : undefined },
      element("button", { type: "button", class: "sort", onclick: () => { go({ sort: turned }, false); } }, title, sign));
  })));
  table.tBodies[0].replaceChildren(...found.slice(0, most).map(pairLine));
  byId("pairs-count").textContent = found.length.toLocaleString("en");
  byId("pairs").firstChild.textContent = state.all ? "Pairs " : "Pairs with failures or gaps ";
  const more = byId("pairs-more");
  more.replaceChildren();
  if (!found.length) more.append(isFiltered() ? "No such pair under these filters." : "");
  if (found.length > most) {
    more.append(`The first ${most} of ${plural(found.length, "pair")}. `, element("button", {
      type: "button", onclick: () => { pairsShown += 4 * PAGE; refreshPairs(); },
    }, "Show more"));
  }
  return found.length;
};
const isFiltered = () => filters.some((key) => state[key]);

// Causes, nodes and checks that the search leaves out, and lines that are fine, are hidden, and it is said how many.
const refreshLists = () => {
  const words = judged.words;
  document.body.classList.toggle("only-wrong", !state.all);
  let shown = 0;
  const cards = [...document.querySelectorAll("details.card")];
  for (const card of cards) {
    const nodes = card.dataset.nodes.split(" ").map((id) => nodePlace.get(id)).filter((node) => node !== undefined);
    const isMeant = (!state.finding || state.finding === card.id)
      && words.every((word) => nodes.some((node) => word.fits[node]) || card.textContent.toLowerCase().includes(state.q));
    card.hidden = !isMeant;
    if (isMeant && !card.matches(".waived")) shown += 1;
  }
  const count = document.querySelector("#causes .count");
  const counting = cards.filter((card) => !card.matches(".waived")).length;
  if (count) count.textContent = shown < counting ? `${shown} of ${counting}` : plural(counting, "cause");
  for (const line of document.querySelectorAll("tr[data-node]")) {
    line.hidden = words.length > 0 && !fitsNode(words, nodePlace.get(line.dataset.node));
  }
  for (const section of document.querySelectorAll(".listing")) {
    const fine = [...section.querySelectorAll("tr.fine:not([hidden])")].length;
    const all = section.querySelectorAll("tbody tr:not([hidden])").length;
    const said = section.querySelector(".hidden-fine");
    said.replaceChildren();
    section.classList.toggle("nothing-wrong", fine === all);
    if (!state.all && fine && fine < all) {
      said.append(`${all - fine} with something to tell; ${fine} without are hidden. `,
        element("button", { type: "button", onclick: () => { go({ all: "1" }); } }, "Show all"));
    }
  }
};
