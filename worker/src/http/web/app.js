// Ties the parts together: what the address says is shown, and what is decided leads on.

import { isStart, place, rememberedOrder, rememberOrder, START, write } from "./address.js";
import { api, reviewer } from "./api.js";
import { Bulk } from "./bulk.js";
import { $, count, el, nameOf, number, percent } from "./dom.js";
import { Failures } from "./failures.js";
import { Gallery } from "./gallery.js";
import { askForToken } from "./login.js";
import { announce, dialogOpen, openDialog, shown, toast } from "./notices.js";
import { Panel } from "./panel.js";
import { isAsked, passes, tally } from "./rows.js";
import { Stage } from "./stage.js";
import { Undo } from "./undo.js";
import { VocabularyView } from "./vocabulary.js";

const COUNTS_EVERY_MS = 15000;
/** Counting a large ledger takes a while: the page lets it rest this many times as long. */
const COUNTS_REST = 20;
/** Somebody who types so slowly waits for an answer. */
const TYPING_MS = 250;
/** Pictures whose suggestions are kept: the one before, this one, the next ones. */
const KEPT = 8;
const wide = matchMedia("(min-width: 901px)");

const gallery = new Gallery({ onOpen: (asset) => go({ asset }), onChosen: showChosen });
const failures = new Failures({ onClose: () => go({ view: "" }) });
const vocabulary = new VocabularyView({
  onClose: () => go({ view: "", term: "" }),
  onTerm: (term) => go({ term: term ?? "" }),
});
const stage = new Stage({ onPick: (id) => panel.select(id), onHover: (id) => panel.hover(id) });
const panel = new Panel({
  onChanged: changed,
  onView: () => stage.draw(panel.visible(), panel.chosen(), panel.hovered),
  onFinished: () => onward(),
  onAdopted: () => {
    forgetOthers();
    refreshCounts();
  },
});
const undo = new Undo({ panel, follow: (job) => bulk.follow(job), onUndone: undone });
const bulk = new Bulk({
  scopes: () => {
    const { kind, status, min, words, like } = place();
    const found = words || like ? gallery.rows.map(({ asset_id }) => asset_id) : null;
    return { filter: { kind, status, min }, chosen: [...gallery.chosen], shown: shownAsset, found };
  },
  before: () => panel.last,
  onDone: () => reload(),
  undo: () => undo.run(),
});

let shownSource = null;
let shownAsset = "";
/** Whether the list is the one that was asked for last, once it is there. */
let listing = Promise.resolve(true);
let opening = null;
/** The suggestion to select once its picture is open. */
let pick = null;
let counts = null;
/** Whether the words are still being typed, and what waits for the next key. */
let typing = false;
let pausing = null;
/** How many pictures there were when the gallery was loaded. */
let countsAtLoad = null;
/** Keys act one after the other, each on what the one before led to. */
let acting = Promise.resolve();
/** Pictures with their suggestions, as they are known here. */
const pictures = new Map();

// --- the address

/** Changes the address and shows what it says. */
function go(changes, { replace = false } = {}) {
  write(changes, replace);
  return apply();
}

/**
 * Shows what the address says. A new list begins with its first picture, unless it is `linked`: then the address came from
 * elsewhere and names a picture, which may be far down the list.
 */
async function apply({ linked = false } = {}) {
  const begins = isStart();
  if (begins) write({ ...START, order: rememberedOrder() }, true);
  typing &&= place().words !== "";
  const at = { ...place(), typing };
  // What is said has other names by now.
  if (at.view !== "vocabulary" && vocabulary.wasChanged()) return reload();
  document.body.dataset.view = at.view || (at.asset ? "asset" : "gallery");
  for (const [name, view] of [["failures", failures], ["vocabulary", vocabulary]]) {
    $(name).hidden = at.view !== name;
    $(`show-${name}`).setAttribute("aria-pressed", String(at.view === name));
    if (at.view === name) view.show(at.term || null);
    else view.hide?.();
  }
  showFilters(at);
  panel.setFilter({ kind: at.kind, status: at.status, min: at.min });
  const source = JSON.stringify([at.words, at.like, at.kind, at.status, at.min, at.order, typing]);
  if (source !== shownSource) {
    shownSource = source;
    listing = loadGallery(at);
    if (!(await listing)) return undefined;
    // Everything is reviewed: one looks at it.
    if (begins && gallery.rows.length === 0 && !gallery.failed) return go({ status: "" }, { replace: true });
    const first = gallery.first();
    if (linked && at.asset && !gallery.has(at.asset)) await admit(at);
    else if (!linked && first && at.asset !== first) return go({ asset: wide.matches ? first : "" }, { replace: true });
  } else if (!(await listing)) return undefined;
  const { asset, view } = place();
  if (asset && !gallery.has(asset)) return go({ asset: wide.matches ? (gallery.first() ?? "") : "" }, { replace: true });
  if (!asset && !view && gallery.first() && wide.matches) return go({ asset: gallery.first() }, { replace: true });
  if (asset !== shownAsset) await openAsset(asset);
  else if (!asset) await openAsset("");
  return undefined;
}

/** Puts the picture of a link into its list, if it passes the filters. */
async function admit({ asset, words, like }) {
  if (words || like) return;
  const picture = await shown(load(asset));
  if (!picture) return;
  const filtered = panel.filter.kind || panel.filter.status || panel.filter.min > 0;
  const { suggestions } = picture;
  if (!filtered || suggestions.some((row) => passes(row, panel.filter) && isAsked(row, panel.filter))) gallery.admit(picture.asset);
}

function showFilters({ kind, status, min, order, words, like }) {
  $("filter-kind").value = kind;
  $("filter-status").value = status;
  $("filter-min").value = String(Math.round(min * 100));
  $("order").value = order;
  $("order").disabled = Boolean(words || like);
  $("order").title = words || like ? "The best come first" : "";
  showMinimum(min);
  // Only what waits can be decided.
  for (const id of ["accept-all", "reject-all"]) $(id).disabled = status !== "" && status !== "pending";
  if (kind === "proposal") $("accept-all").disabled = true;
  if (document.activeElement !== $("words")) $("words").value = words;
  $("source").hidden = !words && !like;
  if (words) $("source-text").textContent = typing ? `Pictures that say “${words}”` : `Pictures that fit “${words}”`;
  else if (like) $("source-text").textContent = "Pictures like the first one";
}

function showMinimum(min) {
  $("min-shown").textContent = `${Math.round(min * 100)} %`;
}

function showChosen() {
  const { size } = gallery.chosen;
  $("chosen").hidden = size === 0;
  $("chosen-text").textContent = count(size, "picture chosen", "pictures chosen");
}

/** Answers false if something else is to be listed meanwhile. */
async function loadGallery(at) {
  countsAtLoad = counts?.assets ?? null;
  $("newer").hidden = true;
  if (!(await gallery.load(at))) return false;
  const found = gallery.rows.length;
  if (at.words || at.like) announce(count(found, "picture found", "pictures found"));
  if (at.words && !typing && gallery.searched && !gallery.searched.includes("meaning")) {
    $("source-text").textContent = `Pictures that say “${at.words}” (there is no model for their meaning)`;
  }
  if (at.words && gallery.weak > 0) {
    const all = gallery.weak === found ? "all of them" : `${number(gallery.weak)} of ${number(found)}`;
    $("source-text").textContent = `Pictures that fit “${at.words}” (${all} weak: no nearer than chance)`;
  }
  if (found === 0) showEmpty(at);
  return true;
}

function showEmpty(at) {
  const empty = $("gallery-empty");
  empty.hidden = false;
  const all = (name, changes) => el("button", { type: "button", onclick: () => go(changes) }, name);
  if (at.words || at.like) {
    const text = at.words && typing ? "No picture says so. Enter looks for what pictures show, too." : "No picture was found. Pictures are found once they have been analyzed.";
    const filtered = at.kind || at.status || at.min;
    empty.replaceChildren(text, filtered ? all("Search without filters", { kind: "", status: "", min: 0 }) : "");
  } else if (at.status === "pending" && !at.kind && !at.min) {
    empty.replaceChildren(el("b", {}, "Everything is reviewed."), all("Show all pictures", { status: "" }));
  } else if (at.kind || at.status || at.min) {
    empty.replaceChildren("No picture passes the filters.", all("Show all pictures", { kind: "", status: "", min: 0 }));
  } else {
    empty.replaceChildren(el("b", {}, "There are no pictures yet."), el("span", {}, "Bring some in with"), el("code", {}, "docent ingest ~/Pictures"));
  }
}

/** Lists again what the address says. */
function reload() {
  pictures.clear();
  shownSource = null;
  shownAsset = null;
  refreshCounts();
  undo.refresh();
  return apply({ linked: true });
}

// --- the picture

/** A picture with its suggestions; one that was looked at before, or ahead, is there at once. */
async function load(id, signal) {
  const known = pictures.get(id);
  if (known) return known;
  const [asset, suggestions] = await Promise.all([api.asset(id, signal), api.suggestions(id, signal)]);
  const picture = { asset, suggestions, counted: tally(suggestions) };
  keep(id, picture);
  return picture;
}

function keep(id, picture) {
  pictures.set(id, picture);
  for (const old of pictures.keys()) if (pictures.size > KEPT && old !== shownAsset) pictures.delete(old);
}

/** Forgets what other pictures say: it may have other names by now. */
function forgetOthers() {
  for (const id of pictures.keys()) if (id !== shownAsset) pictures.delete(id);
}

async function openAsset(id) {
  opening?.abort();
  const mine = (opening = new AbortController());
  shownAsset = id;
  gallery.select(id);
  if (!id) {
    stage.clear(wide.matches && gallery.rows.length ? "Choose a picture." : "");
    panel.clear();
    document.title = "docent";
    return;
  }
  const picture = await shown(load(id, mine.signal));
  if (mine.signal.aborted) return;
  if (!picture) {
    stage.clear("This picture cannot be opened.");
    panel.clear();
    return;
  }
  document.title = `${nameOf(picture.asset.uris[0] ?? "")} – docent`;
  stage.show(picture.asset);
  panel.show(picture, pick);
  pick = null;
  lookAhead();
}

async function stepPicture(by) {
  const asset = await gallery.neighbor(by);
  if (asset) await go({ asset }, { replace: true });
  else toast(by > 0 ? "That was the last picture." : "This is the first picture.", "info");
}

async function stepSuggestion(by) {
  if (!panel.step(by)) await stepPicture(by);
}

/** The next picture on which something waits, with its suggestions; null if there is none. */
async function findWaiting() {
  for (;;) {
    const asset = await gallery.nextOpen();
    if (!asset) return null;
    const picture = await load(asset);
    if (panel.waiting(picture.suggestions) > 0) return picture;
    gallery.update(asset, { finished: true });
  }
}

/** Goes on to the next picture on which something waits. */
async function onward() {
  gallery.update(shownAsset, { finished: true });
  const picture = await shown(findWaiting());
  if (picture) await go({ asset: picture.asset.asset_id }, { replace: true });
  else if (picture === null) toast("Nothing is left to review here.", "info");
}

/** Gets what comes next, so that it is there when it is needed. */
async function lookAhead() {
  const { signal } = opening;
  const picture = await findWaiting().catch(() => null);
  if (picture && !signal.aborted && picture.asset.asset_id !== shownAsset) new Image().src = stage.address(picture.asset.asset_id);
}

/** Hears what became of a picture's suggestions. */
function changed({ asset, suggestions }, before, after) {
  const accepted = suggestions.filter(({ kind, status }) => kind === "tag" && status === "accepted").length;
  gallery.update(asset.asset_id, { pending: after.pending, accepted, ...(after.pending > before.pending ? { finished: false } : {}) });
  for (const status of Object.keys(after)) {
    if (counts) counts.suggestions[status] = Math.max(0, (counts.suggestions[status] ?? 0) + after[status] - before[status]);
  }
  if (counts) showCounts();
  undo.refresh();
}

/** Shows what is pending again. */
async function undone(asset, suggestion) {
  if (!asset) return reload();
  const known = pictures.get(asset);
  if (known) await panel.refresh(known, []);
  else refreshCounts();
  const picture = known ?? (await load(asset));
  gallery.admit(picture.asset);
  gallery.update(asset, { finished: false });
  if (asset === shownAsset) {
    gallery.select(asset);
    return panel.touch(suggestion);
  }
  pick = suggestion;
  return go({ asset }, { replace: true });
}

// --- counts

async function refreshCounts() {
  counts = await api.status().catch(() => counts);
  if (counts) showCounts();
}

function showCounts() {
  const failed = Object.values(counts.analyzers).reduce((sum, { failed }) => sum + failed, 0);
  const working = Math.max(0, ...Object.values(counts.analyzers).map(({ pending }) => pending));
  const parts = [
    ["pictures", counts.assets - (counts.analyzers.decode?.failed ?? 0)],
    ["to review", Math.max(0, (counts.suggestions.pending ?? 0) - counts.proposals)],
    ["accepted", counts.suggestions.accepted ?? 0],
    ["rejected", counts.suggestions.rejected ?? 0],
    ...(working ? [["to analyze", working]] : []),
  ];
  $("counts").replaceChildren(
    ...parts.map(([name, value]) => el("div", { data: { count: name } }, el("dd", {}, number(value)), el("dt", {}, name))),
  );
  $("show-failures").textContent = failed ? `Failures (${number(failed)})` : "Failures";
  $("show-failures").classList.toggle("has-failures", failed > 0);
  const { words, like, kind, min } = place();
  countsAtLoad ??= counts.assets;
  const newer = counts.assets - countsAtLoad;
  if (newer > 0 && !words && !like && !kind && !min) {
    $("newer").textContent = `Show ${count(newer, "new picture", "new pictures")}`;
    $("newer").hidden = false;
  }
}

// --- controls

$("filter-kind").onchange = (event) => go({ kind: event.target.value });
$("filter-status").onchange = (event) => go({ status: event.target.value });
$("filter-min").oninput = (event) => {
  const min = Number(event.target.value) / 100;
  showMinimum(min);
  panel.setFilter({ ...panel.filter, min });
};
$("filter-min").onchange = (event) => go({ min: Number(event.target.value) / 100 });
$("order").onchange = (event) => {
  rememberOrder(event.target.value);
  go({ order: event.target.value });
};
$("filters").onsubmit = (event) => event.preventDefault();
$("search").onsubmit = (event) => {
  event.preventDefault();
  typed(false);
  $("words").blur();
  go({ words: $("words").value.trim(), like: "", view: "" });
};
$("words").addEventListener("input", () => {
  clearTimeout(pausing);
  pausing = setTimeout(() => {
    const words = $("words").value.trimStart();
    if (words === place().words) return;
    typed(words !== "");
    go({ words, like: "", view: "" }, { replace: place().words !== "" });
  }, TYPING_MS);
});
$("words").addEventListener("search", () => {
  if (!$("words").value && place().words) {
    typed(false);
    go({ words: "" });
  }
});
$("source-clear").onclick = () => {
  typed(false);
  go({ words: "", like: "" });
};
$("chosen-clear").onclick = () => gallery.choose([]);

/** Notes whether words are still being typed. */
function typed(still) {
  clearTimeout(pausing);
  typing = still;
}

$("newer").onclick = reload;
$("similar").onclick = similar;
$("previous").onclick = () => stepPicture(-1);
$("next").onclick = () => stepPicture(1);
$("back").onclick = () => go({ asset: "" });
$("undo").onclick = () => undo.run();
for (const name of ["failures", "vocabulary"]) $(`show-${name}`).onclick = () => go({ view: place().view === name ? "" : name, term: "" });
$("show-help").onclick = () => openDialog("help");
$("show-reviewer").onclick = () => {
  $("reviewer-input").value = reviewer.get();
  openDialog("reviewer");
};
$("reviewer-form").onsubmit = () => {
  reviewer.set($("reviewer-input").value.trim());
  showReviewer();
  undo.refresh();
};

function showReviewer() {
  $("reviewer-name").textContent = reviewer.get() || "You";
}

function similar() {
  if (shownAsset) return go({ like: shownAsset, words: "", view: "" });
  return undefined;
}

// --- the keyboard

const KEYS = {
  j: () => stepSuggestion(1),
  k: () => stepSuggestion(-1),
  J: () => stepPicture(1),
  K: () => stepPicture(-1),
  ArrowRight: () => stepPicture(1),
  ArrowLeft: () => stepPicture(-1),
  a: () => panel.decide("accept"),
  r: () => panel.decide("reject"),
  c: () => panel.acceptCarried(),
  o: () => panel.toggle(),
  u: () => undo.run(),
  n: () => onward(),
  x: () => gallery.toggle(),
  A: () => bulk.ask("accept"),
  R: () => bulk.ask("reject"),
  m: similar,
  "+": () => stage.zoom.in(),
  "=": () => stage.zoom.in(),
  "-": () => stage.zoom.out(),
  0: () => stage.zoom.fit(),
  v: () => go({ view: "vocabulary" }),
  "/": () => $(place().view === "vocabulary" ? "term-words" : "words").select(),
  "?": () => openDialog("help"),
};
/** With Shift. */
const CHOOSING = { ArrowRight: 1, ArrowLeft: -1 };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || dialogOpen() || !(event.target instanceof Element)) return;
  const typing = event.target.matches("input:not([type=range]):not([type=radio]), textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (gallery.chosen.size) gallery.choose([]);
    else if (place().view || place().words || place().like) go({ view: "", term: "", words: "", like: "" });
    return;
  }
  // Lists and sliders need the arrows themselves.
  const arrows = event.key.startsWith("Arrow") && event.target.matches("select, input");
  const choosing = event.shiftKey && CHOOSING[event.key];
  const action = choosing ? () => gallery.extend(choosing) : KEYS[event.key];
  if (!action || typing || arrows || (place().view && event.key !== "?" && event.key !== "/")) return;
  event.preventDefault();
  acting = acting.then(() => shown(Promise.resolve(action()))).catch((error) => console.error(error));
});

for (const moved of ["popstate", "hashchange"]) {
  window.addEventListener(moved, () => {
    typed(false);
    apply({ linked: true });
  });
}
document.querySelector(".brand").addEventListener("click", (event) => {
  event.preventDefault();
  go({ ...START, order: rememberedOrder() });
});

askForToken(() => start());

async function start() {
  shownSource = null;
  shownAsset = null;
  pictures.clear();
  showReviewer();
  undo.refresh();
  await Promise.all([refreshCounts(), apply({ linked: true })]);
}

start();
(async () => {
  for (let rest = COUNTS_EVERY_MS; ; ) {
    await new Promise((resolve) => setTimeout(resolve, rest));
    const began = performance.now();
    if (!document.hidden && !$("login").open) await refreshCounts();
    rest = Math.max(COUNTS_EVERY_MS, COUNTS_REST * (performance.now() - began));
  }
})();
