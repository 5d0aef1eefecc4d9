// The controls, and what happens when the state changes.

// Works from a file too, where the clipboard's own interface may be missing.
const copied = async (text) => {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* The old way below. */ }
  const area = element("textarea", { class: "sr", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const worked = document.execCommand("copy");
  area.remove();
  return worked;
};
const copyButton = (name, text) => {
  const button = element("button", {
    type: "button", class: "copies", onclick: async () => {
      button.textContent = (await copied(text())) ? "Copied" : "Select it by hand";
      setTimeout(() => { button.textContent = name; }, 1500);
    },
  }, name);
  return button;
};
const withCopy = (block) => {
  const text = block.textContent;
  return element("div", { class: "with-copy" }, block, copyButton("Copy", () => text));
};

const option = (value, text) => element("option", { value }, text);
const chooser = (key, title, options) => element("label", {}, `${title} `,
  element("select", { id: `by-${key}`, onchange: (event) => go({ [key]: event.target.value }) },
    option("", `any`), options.map(([value, text]) => option(value, text))));
const tick = (key, title) => element("label", { class: "tick" },
  element("input", { type: "checkbox", id: `by-${key}`, onchange: (event) => go({ [key]: event.target.checked ? "1" : "" }) }),
  ` ${title}`);
const typed = (key, title, attributes) => element("label", {}, `${title} `,
  element("input", { id: `by-${key}`, ...attributes, oninput: (event) => go({ [key]: event.target.value.trim() }, false) }));

const makeControls = () => {
  const controls = byId("controls");
  const theme = element("button", {
    type: "button", onclick: () => {
      const root = document.documentElement;
      const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = isDark ? "light" : "dark";
      layOutHeat();
    },
  }, "Light or dark");
  controls.append(theme, element("button", { type: "button", onclick: () => print() }, "Print"));
  const outcomes = [...new Set(bare)].sort();
  const findings = [...document.querySelectorAll("details.card")].map((card) => card.id);
  const bar = element("div", { id: "filters", role: "search", "aria-label": "Filters" },
    typed("q", "Find", { type: "search", placeholder: "address, host, role, label", size: "20" }),
    data.rules.length > 1 ? chooser("rule", "Rule", [...data.rules].sort().map((rule) => [rule, rule])) : "",
    data.transports.length > 1 ? chooser("via", "Transport", data.transports.map((name, via) => [String(via), name])) : "",
    typed("port", "Port", { type: "text", inputmode: "numeric", size: "5", pattern: "[0-9]*" }),
    outcomes.length > 1 ? chooser("outcome", "Outcome", outcomes.map((word) => [word, word])) : "",
    findings.length > 1 ? chooser("finding", "Cause", findings.map((id) => [id, id])) : "",
    element("label", { class: "tick" }, element("input", {
      type: "checkbox", id: "by-wrong", onchange: (event) => go({ all: event.target.checked ? "" : "1" }),
    }), " Only what is wrong"),
    element("button", { type: "button", id: "clear", onclick: () => { go(Object.fromEntries(filters.map((key) => [key, ""]))); } }, "Clear"),
    element("span", { id: "found", role: "status" }));
  byId("bar").append(bar);
};

const makeTools = () => {
  const tools = byId("tools");
  if (!tools) return;
  if (heat) {
    tools.append(
      element("label", {}, "Order by ", element("select", { id: "by-by", onchange: (event) => go({ by: event.target.value }) },
        orders.map(([key, name]) => option(key, name)))),
      tick("lean", "Only nodes with something wrong"),
      element("span", { class: "zooms", role: "group", "aria-label": "Zoom" },
        element("button", { type: "button", "aria-label": "Smaller cells", onclick: () => zoom(1 / 1.4) }, "\u2212"),
        element("button", { type: "button", onclick: () => zoom(0) }, "Fit"),
        element("button", { type: "button", "aria-label": "Larger cells", onclick: () => zoom(1.4) }, "+")),
      element("button", { type: "button", onclick: () => { heat.focus(); nextWrong(1); } }, "Next wrong cell"));
  }
};

// Beside a cause: its cells. Pointing at it is enough to see them; pressing keeps them.
const makeActions = () => {
  for (const place of document.querySelectorAll(".actions")) {
    const id = place.dataset.finding;
    place.append(element("button", {
      type: "button", onclick: () => { go({ finding: id }); byId("reachability").scrollIntoView(); },
    }, "Show in the matrix"));
    const card = place.closest("details.card");
    const look = (on) => {
      const finding = findingPlace.get(id);
      peeked = on ? { finding, lit: litBy(finding) } : null;
      if (heat) { drawn.isFresh = false; askDraw(); } else refreshMatrix();
    };
    card.addEventListener("mouseenter", () => look(true));
    card.addEventListener("mouseleave", () => look(false));
    card.addEventListener("focusin", () => look(true));
    card.addEventListener("focusout", () => look(false));
  }
  for (const block of document.querySelectorAll("pre.copy")) {
    const place = element("div", { class: "with-copy" });
    block.replaceWith(place);
    const text = block.textContent;
    place.append(block, copyButton("Copy", () => text));
  }
};

const layOutHeat = () => { if (heat) { drawn.colours = {}; layOut(); } };

// The controls show what the state says, whoever changed it.
const refreshControls = (pairs) => {
  for (const key of ["rule", "via", "outcome", "finding", "port", "q"]) {
    const control = byId(`by-${key}`);
    if (control && control.value.trim() !== state[key]) control.value = state[key];
  }
  if (byId("by-by")) byId("by-by").value = orderNow();
  if (byId("by-lean")) byId("by-lean").checked = Boolean(state.lean);
  byId("by-wrong").checked = !state.all;
  byId("clear").hidden = !isFiltered();
  const said = filters.filter((key) => state[key]).map((key) => `${filterWords[key]} ${key === "via" ? data.transports[state.via] : state[key]}`);
  byId("found").textContent = said.length ? `${said.join(", ")}: ${plural(pairs ?? 0, "pair")}` : "";
};
const filterWords = { q: "nodes", rule: "rule", via: "transport", outcome: "outcome", port: "port", finding: "cause" };

const refresh = (before) => {
  const changed = (...keys) => !before || keys.some((key) => before[key] !== state[key]);
  let pairs;
  if (changed(...filters, "all", "lean", "by", "sort")) {
    if (changed(...filters)) { judge(); pairsShown = PAGE; }
    pairs = refreshPairs();
    refreshGroups();
    refreshLists();
    if (heat) layOut();
    refreshControls(pairs);
  }
  refreshMatrix();
  if (heat) askDraw();
  if (changed("pair", "anchor", ...filters, "all")) refreshPanel(!before || changed("pair", "anchor"));
  if (before && changed("anchor") && state.anchor) toPlace(state.anchor);
};

judge();
makeControls();
makeTools();
makeActions();
if (heat) startHeat();
watchers.push(refresh);
refresh();
if (state.anchor) toPlace(state.anchor);
addEventListener("keydown", (event) => { if (event.key === "Escape" && !panel.hidden) { event.preventDefault(); shut(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", layOutHeat);

// Paper has no folds, and nobody can ask it for more.
const folded = [];
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) { folded.push(fold); fold.open = true; }
  refreshPairs(ON_PAPER);
});
addEventListener("afterprint", () => {
  for (const fold of folded.splice(0)) fold.open = false;
  refreshPairs();
});
