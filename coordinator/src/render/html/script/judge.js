// Which tests are meant, and what came of them: from the filters to a level for every pair.

// A row of a pair: [rule, transport, ports, must be open, outcome, standing, attempts, tests, findings,
// tests that are in no row above it].
const RULE = 0, VIA = 1, PORTS = 2, OPEN = 3, OUTCOME = 4, STANDING = 5, ATTEMPTS = 6, TESTS = 7, FINDINGS = 8, OWN = 9;
const EXPECTED = 1, WAIVED = 2, GAP = 3, WRONG = 4;

// The same as `Level` of the part that writes the page.
const levels = [
  { name: "none", glyph: "", words: "nothing to test" },
  { name: "ok", glyph: "\u2713", words: "as expected" },
  { name: "waived", glyph: "\u25cb", words: "waived" },
  { name: "gap", glyph: "?", words: "not measured" },
  { name: "some", glyph: "\u2715", words: "wrong" },
  { name: "all", glyph: "\u2716", words: "all wrong" },
];

// What a heat map can show of a pair: latency will be a further entry. `level` is a place in `levels`, `number` what a large
// cell says, `words` what is said of a pair.
const modes = [{
  key: "reach",
  levels,
  level: ({ ok, waived, gap, bad }) => (bad ? (ok + waived ? 4 : 5) : gap ? 3 : waived ? 2 : ok ? 1 : 0),
  number: ({ ok, waived, gap, bad }) => String(bad || gap || waived || ok || ""),
  words: ({ ok, waived, gap, bad }) => {
    const tests = ok + waived + gap + bad;
    if (!tests) return "nothing to test";
    const said = [];
    if (bad) said.push(`${bad.toLocaleString("en")} of ${plural(tests, "test")} wrong`);
    if (gap) said.push(`${gap.toLocaleString("en")} of ${plural(tests, "test")} not measured`);
    if (waived) said.push(said.length ? `${waived.toLocaleString("en")} waived` : `${waived.toLocaleString("en")} of ${plural(tests, "test")} waived`);
    return said.join(", ") || `${plural(tests, "test")} as expected`;
  },
}];
const mode = modes[0];

// The bare word of each outcome, without what is known beside it.
const bare = data.outcomes.map((words) => words.split(/ \(|, /)[0]);

// Ports as they were written: `22,30000-32767`, `30004-32759/29`, `95 within 30004-32762`.
const spans = data.ports.map((text) => {
  const within = /^\d+ within (\d+)-(\d+)$/.exec(text);
  if (within) return [[Number(within[1]), Number(within[2]), 1]];
  return text.split(",").map((span) => {
    const [ends, step] = span.split("/");
    const [first, last] = ends.split("-").map(Number);
    return [first, last ?? first, Number(step ?? 1)];
  });
});
const holds = (ports, port) =>
  spans[ports].some(([first, last, step]) => port >= first && port <= last && (port - first) % step === 0);
// Beyond this many ranges a list is not read any more.
const READABLE = 8;
const portWords = (row) => {
  const text = data.ports[row[PORTS]];
  const [ends, step] = text.split("/");
  if (step) return `${row[TESTS]} ports, every ${step}th of ${ends}`;
  const all = spans[row[PORTS]];
  if (all.length > READABLE) return `${row[TESTS]} ports within ${all[0][0]}-${all.at(-1)[1]}`;
  return text.replace(" within ", " ports within ").replaceAll(",", ", ");
};
const oneFamily = data.transports.every((words) => words.endsWith("IPv4"));
const viaWords = (via) => (oneFamily ? data.transports[via].replace(" over IPv4", "") : data.transports[via]);

// What can be searched of a node, and what it is called exactly.
const names = data.nodes.map((node) =>
  [node.id, node.host, node.roles, node.subnet, node.version, ...Object.entries(node.labels ?? {}).map((pair) => pair.join("="))]
    .filter(Boolean).map((name) => name.toLowerCase()));

// A word of the search: any part of a name, or a whole one in quotation marks; of either end, or of the one that it says.
const asked = (q) => [...q.toLowerCase().matchAll(/(?:(from|to):)?("[^"]*"|\S+)/g)].map(([, end, word]) => {
  const exact = word.startsWith('"');
  const text = word.replaceAll('"', "");
  return { end, fits: names.map((all) => all.some((name) => (exact ? name === text : name.includes(text)))) };
});
const fitsNode = (words, node) => words.every((word) => word.fits[node]);
const fitsPair = (words, from, to) => words.every(({ end, fits }) =>
  (end !== "to" && fits[from]) || (end !== "from" && fits[to]));

const nodePlace = new Map(data.nodes.map((node, place) => [node.id, place]));
const sourceRow = new Map(data.sources.map((node, row) => [node, row]));
const destinationColumn = new Map(data.destinations.map((node, column) => [node, column]));
const findingPlace = new Map(data.findings.map((finding, place) => [finding.id, place]));

// The set of rows of a pair of nodes, if anything was to test.
const setOf = (from, to) => data.cells[sourceRow.get(from)]?.[destinationColumn.get(to)] || 0;
const rowsOf = (set) => data.sets[set - 1][1].map((place) => data.rows[place]);

const fitsRow = (row) =>
  (!state.rule || data.rules[row[RULE]] === state.rule)
  && (!state.via || String(row[VIA]) === state.via)
  && (!state.outcome || bare[row[OUTCOME]] === state.outcome)
  && (!state.port || holds(row[PORTS], Number(state.port)));

const nothing = { ok: 0, waived: 0, gap: 0, bad: 0 };

// A port that several rules ask for is one test, unless one rule is looked at alone; and of a range one port is looked at.
const tallyOf = (rows) => {
  const tally = { ...nothing };
  const seen = new Set();
  for (const row of rows) {
    let tests = state.rule ? row[TESTS] : row[OWN];
    if (state.port) {
      const key = `${row[VIA]} ${row[STANDING]}`;
      tests = seen.has(key) ? 0 : 1;
      seen.add(key);
    }
    if (row[STANDING] === WRONG) tally.bad += tests;
    else if (row[STANDING] === GAP) tally.gap += tests;
    else if (row[STANDING] === WAIVED) tally.waived += tests;
    else if (row[STANDING] === EXPECTED) tally.ok += tests;
  }
  return tally;
};

// What is wrong with a pair, each port once, the worst first.
const troubles = (rows) => [...new Set(rows.filter((row) => row[STANDING] > WAIVED)
  .sort((a, b) => b[STANDING] - a[STANDING])
  .map((row) => `${portWords(row)} ${viaWords(row[VIA])}: ${data.outcomes[row[OUTCOME]]}`))];
const told = (all, most) => (all.length > most ? [...all.slice(0, most), `and ${all.length - most} more`] : all);

// What the filters make of the sets: for each its tally, its level, and whether the finding that is looked at lies over it.
let judged = { tallies: [], levels: new Uint8Array(), lit: new Uint8Array(), words: [], finding: -1 };

const judge = () => {
  const finding = findingPlace.get(state.finding) ?? -1;
  const tallies = data.sets.map(([, rows]) => {
    const meant = [];
    for (const place of rows) if (fitsRow(data.rows[place])) meant.push(data.rows[place]);
    return tallyOf(meant);
  });
  judged = {
    tallies,
    levels: Uint8Array.from(tallies, mode.level),
    lit: litBy(finding),
    words: asked(state.q),
    finding,
  };
};

// Which sets have a test under a finding.
const litBy = (finding) => Uint8Array.from(data.sets, ([, rows]) =>
  (finding >= 0 && rows.some((place) => data.rows[place][FINDINGS].includes(finding)) ? 1 : 0));

const tallyAt = (from, to) => {
  const set = setOf(from, to);
  return set && fitsPair(judged.words, from, to) ? judged.tallies[set - 1] : nothing;
};
const levelAt = (from, to) => {
  const set = setOf(from, to);
  return set && fitsPair(judged.words, from, to) ? judged.levels[set - 1] : 0;
};

// Whether a pair is part of what is looked at: under the finding, or, where it has no tests, at its node.
let peeked = null;
const isLit = (from, to) => {
  const finding = peeked ? peeked.finding : judged.finding;
  if (finding < 0) return true;
  const set = setOf(from, to);
  const lit = peeked ? peeked.lit : judged.lit;
  if (set && lit[set - 1]) return true;
  const node = data.findings[finding].node;
  return node !== undefined && !lit.includes(1) && (node === from || node === to);
};

// === Order ===

const labelKeys = [...new Set(data.nodes.flatMap((node) => Object.keys(node.labels ?? {})))].sort();
const orders = [
  ["address", "address"],
  ["role", "role"],
  ...(data.nodes.some((node) => node.subnet) ? [["subnet", "subnet"]] : []),
  ...labelKeys.map((key) => [`label:${key}`, key]),
];
const orderNow = () => (orders.some(([key]) => key === state.by) ? state.by : data.nodes.length > 12 ? "role" : "address");
const groupOf = (node, by = orderNow()) => {
  const { roles, subnet, labels } = data.nodes[node];
  if (by === "role") return roles;
  if (by === "subnet") return subnet || "unknown";
  if (by.startsWith("label:")) return labels?.[by.slice(6)] ?? "without";
  return "";
};
// Nodes by group, then by address; natural order, so that rack10 stands after rack9.
const inOrder = (nodes) => {
  const by = orderNow();
  const compared = new Intl.Collator("en", { numeric: true }).compare;
  return [...nodes].sort((a, b) => compared(groupOf(a, by), groupOf(b, by)) || a - b);
};

// Which sources and destinations the matrix shows, in order.
const axes = () => {
  let from = data.sources, to = data.destinations;
  const isShown = (a, b) => setOf(a, b) && fitsPair(judged.words, a, b) && (!state.lean || levelAt(a, b) > WAIVED);
  if (judged.words.length || state.lean) {
    const keptTo = new Set();
    from = from.filter((a) => {
      let any = false;
      for (const b of data.destinations) if (isShown(a, b)) { any = true; keptTo.add(b); }
      return any;
    });
    to = to.filter((b) => keptTo.has(b));
  }
  return { from: inOrder(from), to: inOrder(to) };
};
