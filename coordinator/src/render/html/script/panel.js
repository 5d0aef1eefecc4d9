// What is behind a pair, in both directions, or behind a node.

const panel = byId("panel");

// Many single ports are folded away.
const portList = (row) => (spans[row[PORTS]].length > READABLE && element("details", { class: "inner small" },
  element("summary", {}, "which"), data.ports[row[PORTS]].replaceAll(",", ", "))) || "";

const rowTable = (rows) => {
  const sorted = [...rows].sort((a, b) => b[STANDING] - a[STANDING]);
  const line = (row) => element("tr", { class: ["", "", "", "is-gap", "is-wrong"][row[STANDING]] || undefined },
    element("td", {}, element("b", { "aria-hidden": "true" }, ["\u00b7", "\u2713", "\u25cb", "?", "\u2715"][row[STANDING]]), " ",
      portWords(row), element("span", { class: "small" }, ` ${viaWords(row[VIA])}`), portList(row)),
    element("td", {}, data.rules[row[RULE]]),
    element("td", {}, row[OPEN] ? "open" : "blocked"),
    element("td", {}, data.outcomes[row[OUTCOME]]),
    element("td", {}, String(row[ATTEMPTS])),
    element("td", {}, findingLinks([row])));
  return element("table", { class: "rows" },
    element("thead", {}, element("tr", {}, ["Ports", "Rule", "Expected", "Outcome", "Attempts", "Cause"]
      .map((title) => element("th", { scope: "col" }, title)))),
    element("tbody", {}, sorted.map(line)));
};

// One direction. What is as expected is folded away where something else is wrong.
const direction = (from, to, title) => {
  const set = setOf(from, to);
  const head = element("h3", {}, title);
  if (!set) return [head, element("p", {}, "No rule asks for anything this way.")];
  const rows = rowsOf(set).filter(fitsRow);
  const isFine = (row) => row[STANDING] <= EXPECTED;
  const wrong = rows.filter((row) => !isFine(row)), fine = rows.filter(isFine);
  const parts = [head, element("p", {}, `${mode.words(tallyOf(rows))}.`)];
  if (rows.length < rowsOf(set).length) parts.push(element("p", { class: "small" }, "As the filters choose; other tests are left out."));
  if (wrong.length) parts.push(rowTable(wrong));
  if (fine.length && wrong.length) {
    parts.push(element("details", { class: "inner", open: Boolean(state.all) },
      element("summary", {}, `${fine.length} more as expected, or not to be tested`), rowTable(fine)));
  } else if (fine.length) parts.push(rowTable(fine));
  return parts;
};

// The causes over some rows, with their sentences and the lines of evidence.
const causesOver = (rows) => {
  const places = [...new Set(rows.flatMap((row) => row[FINDINGS]))].sort((a, b) => a - b);
  if (!places.length) return [];
  return [element("h3", {}, places.length === 1 ? "Cause" : "Causes"), element("ul", { class: "plain" }, places.map((place) => {
    const { id, evidence } = data.findings[place];
    return element("li", {}, causeLink(id), evidence.length ? evidenceOf(evidence) : "");
  }))];
};

const causeLink = (id) => {
  const text = byId(id)?.querySelector("h3")?.textContent.trim() ?? id;
  return element("a", { href: `#${id}` }, text);
};

// Ascending numbers as runs.
const runs = (lines) => lines.reduce((found, line) => {
  const last = found.at(-1);
  if (last && last[1] + 1 === line) last[1] = line;
  else found.push([line, line]);
  return found;
}, []);

const evidenceOf = (lines) => {
  const parts = runs(lines);
  const joined = (between) => parts.map(([first, last]) => (first === last ? `${first}` : `${first}${between}${last}`));
  const command = `sed -n '${joined(",").map((part) => `${part}p`).join(";")}' evidence.jsonl | jq '.payload | @base64d | fromjson'`;
  return element("details", { class: "inner" },
    element("summary", {}, `${plural(lines.length, "line")} of evidence.jsonl`),
    element("p", {}, `Lines ${joined("\u2013").join(", ")}`), withCopy(element("pre", { class: "copy" }, element("code", {}, command))));
};

const nodeLine = (node) => {
  const { id, host, roles, labels, subnet } = data.nodes[node];
  const said = [host, roles, ...Object.entries(labels ?? {}).map((label) => label.join("=")), subnet].filter(Boolean);
  return element("li", {}, element("a", { href: `#node-${id}` }, id), said.length ? `: ${said.join(", ")}` : "");
};

const pairPanel = (from, to) => {
  const both = [setOf(from, to), setOf(to, from)].filter(Boolean).flatMap(rowsOf).filter(fitsRow);
  const [a, b] = [nameOf(from), nameOf(to)];
  return [
    `${a} \u2192 ${b}`,
    [
      element("ul", { class: "plain small" }, nodeLine(from), nodeLine(to)),
      ...direction(from, to, `${a} asks ${b}`),
      ...causesOver(both),
      ...direction(to, from, `The other way: ${b} asks ${a}`),
    ],
  ];
};

const nodePanel = (node) => {
  const { id, host, roles, version, labels, subnet, facts } = data.nodes[node];
  const told = [
    ["Hostname", host], ["Roles", roles], ["Version", version],
    ...Object.entries(labels ?? {}).map(([key, value]) => [`Label ${key}`, value]), ["Subnet", subnet], ...(facts ?? []),
  ].filter(([, text]) => text);
  const findings = [...document.querySelectorAll("details.card")].filter((card) => card.dataset.nodes.split(" ").includes(id));
  const side = (title, others, pairOf) => {
    const bad = others.map((other) => pairOf(other)).filter(([from, to]) => levelAt(from, to) > WAIVED);
    const all = others.filter((other) => setOf(...pairOf(other))).length;
    const parts = [element("h3", {}, title), element("p", {}, bad.length ? `${bad.length} of ${plural(all, "pair")} with failures or gaps.`
      : all ? `${plural(all, "pair")}, all as expected.` : "Nothing to test.")];
    if (bad.length) {
      parts.push(element("ul", { class: "plain" }, bad.slice(0, PAGE).map(([from, to]) => element("li", {},
        element("a", { href: `#pair=${nameOf(from)},${nameOf(to)}` }, `${nameOf(from)} \u2192 ${nameOf(to)}`),
        ` ${mode.words(tallyAt(from, to))}`))));
      if (bad.length > PAGE) parts.push(element("p", { class: "small" }, `and ${bad.length - PAGE} more`));
    }
    return parts;
  };
  return [
    `Node ${id}`,
    [
      element("dl", {}, told.map(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])),
      element("p", {}, element("button", { type: "button", onclick: () => go({ anchor: "", q: `"${id}"` }) }, "Show only its pairs")),
      ...(findings.length ? [element("h3", {}, "Causes that concern it"),
        element("ul", { class: "plain" }, findings.map((card) => element("li", {}, causeLink(card.id))))] : []),
      ...side("It asks others", data.destinations, (other) => [node, other]),
      ...side("Others ask it", data.sources, (other) => [other, node]),
    ],
  ];
};

const wantedPanel = () => {
  if (state.anchor.startsWith("node-")) {
    const node = nodePlace.get(state.anchor.slice(5));
    return node === undefined ? null : nodePanel(node);
  }
  if (!state.pair) return null;
  const [from, to] = state.pair.split(",").map((id) => nodePlace.get(id));
  return from === undefined || to === undefined ? null : pairPanel(from, to);
};

const shut = () => go({ pair: "", anchor: state.anchor.startsWith("node-") ? "" : state.anchor });

const refreshPanel = (takesFocus) => {
  const wanted = wantedPanel();
  const wasOpen = !panel.hidden;
  panel.hidden = !wanted;
  if (!wanted) {
    panel.replaceChildren();
    if (wasOpen && opener?.isConnected) opener.focus({ preventScroll: true });
    return;
  }
  const [title, parts] = wanted;
  const heading = element("h2", { id: "panel-title", tabindex: "-1" }, title);
  panel.replaceChildren(
    element("div", { class: "panel-head" }, heading,
      copyButton("Copy link", () => location.href),
      element("button", { type: "button", class: "close", onclick: shut, "aria-label": "Close (Escape)" }, "\u2715")),
    ...parts);
  panel.scrollTop = 0;
  if (takesFocus) heading.focus({ preventScroll: true });
};
