// What the page knows, and what it shows. What is shown stands in the address, so that every view is a link and the way back
// works: `#F1`, `#node-10.0.0.1`, `#pair=10.0.0.1,10.0.0.2&via=0&q=rack1`.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// An element with attributes and children. Texts become text nodes: nothing of the data is ever markup.
const element = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== ""));
  return made;
};

const plural = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;

// anchor: a place of the page. pair: `from,to`. finding: shown in the matrix. rule, via (a transport), outcome, port: which
// tests. q: which nodes. by: how nodes are ordered. lean: without nodes that have nothing wrong. all: lists show what is as
// expected too. sort: a column of the pairs, with `-` for descending.
const blank = {
  anchor: "", pair: "", finding: "", rule: "", via: "", outcome: "", port: "", q: "", by: "", lean: "", all: "", sort: "",
};
const filters = ["q", "rule", "via", "outcome", "port", "finding"];

const parsed = (fragment) => {
  const found = { ...blank };
  fragment.replace(/^#/, "").split("&").forEach((part, place) => {
    let text = part;
    try { text = decodeURIComponent(part); } catch { /* A broken escape is taken as it stands. */ }
    const at = text.indexOf("=");
    if (at < 0) { if (place === 0) found.anchor = text; return; }
    if (text.slice(0, at) in blank) found[text.slice(0, at)] = text.slice(at + 1);
  });
  return found;
};

const written = (shown) => {
  const escaped = (text) => encodeURIComponent(text).replace(/%(2C|3A|2F|3D)/g, decodeURIComponent);
  const parts = shown.anchor ? [escaped(shown.anchor)] : [];
  for (const key of Object.keys(blank)) {
    if (key !== "anchor" && shown[key]) parts.push(`${key}=${escaped(shown[key])}`);
  }
  return `#${parts.join("&")}`;
};

let state = parsed(location.hash);
const watchers = [];
const tell = (before) => { for (const watcher of watchers) watcher(before); };

// Goes to another view. Steps that a person would want to take back are steps of the history; letters typed are not.
const go = (changes, step = true) => {
  const before = state;
  state = { ...state, ...changes };
  const fragment = written(state);
  if (fragment !== written(before)) history[step ? "pushState" : "replaceState"](null, "", fragment);
  tell(before);
};

addEventListener("popstate", () => {
  const before = state;
  state = parsed(location.hash);
  if (written(state) !== written(before)) tell(before);
});

// A link within the page keeps the filters, and leaves what was open.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const { anchor, pair } = parsed(link.getAttribute("href"));
  opener = link;
  go({ anchor, pair });
  // The same place again, after scrolling away from it.
  if (anchor) toPlace(anchor);
});

// What opened the panel, so that closing it leads back.
let opener = null;

const toPlace = (anchor) => {
  if (anchor.startsWith("node-")) return;
  const place = byId(anchor);
  if (!place) return;
  for (let outer = place; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
  place.scrollIntoView();
  const target = place.querySelector(":scope > summary") ?? place;
  if (target.tabIndex < 0) target.tabIndex = -1;
  target.focus({ preventScroll: true });
};
