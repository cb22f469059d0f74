// Ties the parts together. What is shown is in the address behind #, so that it can be linked and gone back to.

import { api, reviewer, signIn } from "./api.js";
import { $, count, el, KIND_NAMES, nameOf, number, percent } from "./dom.js";
import { Failures } from "./failures.js";
import { Gallery } from "./gallery.js";
import { announce, dialogOpen, openDialog, progress, shown, toast } from "./notices.js";
import { Panel } from "./panel.js";
import { Stage } from "./stage.js";

const COUNTS_EVERY_MS = 15000;
/** Counting a large ledger takes a while: the page lets it rest this many times as long. */
const COUNTS_REST = 20;
/** How far a job is is asked so often. */
const JOB_EVERY_MS = 700;
/** Somebody who types so slowly waits for an answer. */
const TYPING_MS = 250;
/** Counting ends there. */
const COUNTED = 10000;
const wide = matchMedia("(min-width: 901px)");

const gallery = new Gallery({ onOpen: (asset) => go({ asset }) });
const failures = new Failures({ onClose: () => go({ view: "" }) });
const stage = new Stage({ onPick: (id) => panel.select(id), onHover: (id) => panel.hover(id) });
const panel = new Panel({
  onDecided: decided,
  onView: () => stage.draw(panel.visible(), panel.selected, panel.hovered),
  onOpen: (asset, suggestion) => {
    pick = suggestion;
    if (asset === shownAsset) openAsset(asset);
    else go({ asset });
  },
});

let shownSource = null;
let shownAsset = null;
let opening = null;
/** The suggestion to select once its picture is open. */
let pick = null;
let counts = null;
/** Whether the words are still being typed, and what waits for the next key. */
let typing = false;
let pausing = null;
/** How many pictures there were when the gallery was loaded. */
let countsAtLoad = null;

// --- the address

function place() {
  const params = new URLSearchParams(location.hash.slice(1));
  const of = (name, pattern) => {
    const value = params.get(name) ?? "";
    return pattern.test(value) ? value : "";
  };
  return {
    asset: of("asset", /^[0-9a-f]{32}$/),
    like: of("like", /^[0-9a-f]{32}$/),
    words: params.get("q") ?? "",
    kind: of("kind", /^(tag|caption|object|face|emotion|text)$/),
    status: of("status", /^(pending|accepted|rejected|superseded)$/),
    min: Number(of("min", /^(0|1|0?\.\d+)$/) || 0),
    view: of("view", /^failures$/),
  };
}

/** Changes the address and shows what it says. */
function go(changes, { replace = false } = {}) {
  const { words, ...rest } = { ...place(), ...changes };
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries({ q: words, ...rest })) if (value) params.set(name, value);
  const hash = `#${params}`;
  if (hash !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", hash);
  apply();
}

async function apply() {
  typing &&= place().words !== "";
  const at = { ...place(), typing };
  document.body.dataset.view = at.view || (at.asset ? "asset" : "gallery");
  $("failures").hidden = at.view !== "failures";
  $("show-failures").setAttribute("aria-pressed", String(at.view === "failures"));
  if (at.view === "failures") failures.show();
  showFilters(at);
  panel.setFilter({ kind: at.kind, status: at.status, min: at.min });
  if (at.asset !== shownAsset) openAsset(at.asset);
  const source = JSON.stringify([at.words, at.like, at.kind, at.status, at.min, typing]);
  if (source !== shownSource) {
    shownSource = source;
    await loadGallery(at);
  }
  const first = gallery.first();
  if (!place().asset && !place().view && first && wide.matches) go({ asset: first }, { replace: true });
}

function showFilters({ kind, status, min, words, like }) {
  $("filter-kind").value = kind;
  $("filter-status").value = status;
  $("filter-min").value = String(Math.round(min * 100));
  showMinimum(min);
  if (document.activeElement !== $("words")) $("words").value = words;
  $("source").hidden = !words && !like;
  if (words) $("source-text").textContent = typing ? `Pictures that say “${words}”` : `Pictures that fit “${words}”`;
  else if (like) $("source-text").textContent = "Pictures like the one chosen";
}

function showMinimum(min) {
  const text = `${Math.round(min * 100)} %`;
  $("min-shown").textContent = text;
  $("accept-min").textContent = min > 0 ? ` from ${text}` : "";
}

async function loadGallery(at) {
  countsAtLoad = counts?.assets ?? null;
  $("newer").hidden = true;
  await gallery.load(at);
  gallery.select(shownAsset);
  const found = gallery.rows.length;
  if (at.words || at.like) announce(count(found, "picture found", "pictures found"));
  if (at.words && !typing && gallery.searched && !gallery.searched.includes("meaning")) {
    $("source-text").textContent = `Pictures that say “${at.words}” (there is no model for their meaning)`;
  }
  if (at.words && gallery.weak > 0) {
    const all = gallery.weak === found ? "all of them" : `${number(gallery.weak)} of ${number(found)}`;
    $("source-text").textContent = `Pictures that fit “${at.words}” (${all} weak: no nearer than chance)`;
  }
  if (found > 0) return;
  const empty = $("gallery-empty");
  empty.hidden = false;
  if (at.words && typing) empty.replaceChildren("No picture says so. Enter looks for what pictures show, too.");
  else if (at.words || at.like) empty.replaceChildren("No picture was found. Pictures are found once they have been analyzed.");
  else if (at.kind || at.status || at.min) empty.replaceChildren("No picture passes the filters.");
  else {
    empty.replaceChildren(el("b", {}, "There are no pictures yet."), el("span", {}, "Bring some in with"), el("code", {}, "docent ingest ~/Pictures"));
    if (!shownAsset) stage.clear("");
  }
}

// --- the picture

async function openAsset(id) {
  opening?.abort();
  const mine = (opening = new AbortController());
  shownAsset = id;
  gallery.select(id);
  if (!id) {
    stage.clear(wide.matches ? "Choose a picture." : "");
    panel.clear();
    document.title = "docent";
    return;
  }
  const loaded = await shown(Promise.all([api.asset(id, mine.signal), api.suggestions(id, mine.signal)]));
  if (mine.signal.aborted) return;
  if (!loaded) {
    stage.clear("This picture cannot be opened.");
    panel.clear();
    return;
  }
  const [asset, suggestions] = loaded;
  document.title = `${nameOf(asset.uris[0] ?? "")} – docent`;
  stage.show(asset);
  panel.show(asset, suggestions, pick);
  pick = null;
}

async function stepPicture(by) {
  const asset = await gallery.neighbor(by);
  if (asset) go({ asset }, { replace: true });
  else toast(by > 0 ? "That was the last picture." : "This is the first picture.", "info");
}

async function stepSuggestion(by) {
  if (!panel.step(by)) await stepPicture(by);
}

function decided(before, after) {
  const waiting = (row) => (row.status === "pending" ? 1 : 0);
  const change = waiting(after) - waiting(before);
  const known = gallery.rows[gallery.places.get(after.asset_id)];
  if (known?.pending !== undefined) {
    const accepted = known.accepted + (after.status === "accepted") - (before.status === "accepted");
    gallery.update(after.asset_id, { pending: Math.max(0, known.pending + change), accepted });
  }
  if (counts) {
    counts.suggestions[before.status] = Math.max(0, (counts.suggestions[before.status] ?? 0) - 1);
    counts.suggestions[after.status] = (counts.suggestions[after.status] ?? 0) + 1;
    showCounts();
  }
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
    ["pictures", counts.assets],
    ["to review", counts.suggestions.pending ?? 0],
    ["accepted", counts.suggestions.accepted ?? 0],
    ["rejected", counts.suggestions.rejected ?? 0],
    ...(working ? [["to analyze", working]] : []),
  ];
  $("counts").replaceChildren(
    ...parts.map(([name, value]) => el("div", { data: { count: name } }, el("dd", {}, number(value)), el("dt", {}, name))),
  );
  $("show-failures").textContent = failed ? `Failures (${number(failed)})` : "Failures";
  $("show-failures").classList.toggle("has-failures", failed > 0);
  const { words, like, kind, status, min } = place();
  countsAtLoad ??= counts.assets;
  const newer = counts.assets - countsAtLoad;
  if (newer > 0 && !words && !like && !kind && !status && !min) {
    $("newer").textContent = `Show ${count(newer, "new picture", "new pictures")}`;
    $("newer").hidden = false;
  }
}

// --- accept all

async function askAcceptAll() {
  const { kind, min } = place();
  const what = kind ? `every suggestion of the kind “${KIND_NAMES[kind][0].toLowerCase()}”` : "every suggestion";
  const sure = min > 0 ? `with a confidence of at least ${percent(min)}` : "whatever its confidence";
  $("accept-what").textContent = `Accept ${what} that waits for review, ${sure}.`;
  const query = { status: "pending", kind, min_confidence: min };
  const confirm = $("accept-confirm");
  confirm.disabled = true;
  confirm.textContent = "Counting …";
  const choice = (scope) => document.querySelector(`#accept-form input[value=${scope}]`);
  choice("asset").disabled = !shownAsset;
  choice(shownAsset ? "asset" : "archive").checked = true;
  for (const id of ["accept-asset-count", "accept-archive-count"]) $(id).textContent = "";
  openDialog("accept-dialog");
  await panel.last;
  const counted = await shown(
    Promise.all([shownAsset ? api.count({ ...query, asset: shownAsset }) : { count: 0 }, api.count(query)]),
  );
  if (!counted) return $("accept-dialog").close();
  const [here, everywhere] = counted;
  $("accept-asset-count").textContent = atLeast(here);
  $("accept-archive-count").textContent = atLeast(everywhere);
  const update = () => {
    const affected = choice("asset").checked ? here : everywhere;
    confirm.disabled = affected.count === 0 && !affected.more;
    confirm.textContent = confirm.disabled ? "Nothing to accept" : `Accept ${atLeast(affected)}`;
  };
  $("accept-form").onchange = update;
  update();
  $("accept-form").onsubmit = () => {
    const inAsset = choice("asset").checked;
    acceptAll({ kind, min, asset: inAsset ? shownAsset : undefined, asOf: (inAsset ? here : everywhere).as_of });
  };
}

/** A count, which may have ended before everything was counted. */
function atLeast({ count, more }) {
  if (!more) return number(count);
  return count >= COUNTED ? `more than ${number(count)}` : `at least ${number(count)}`;
}

async function acceptAll({ kind, min, asset, asOf }) {
  const job = await shown(api.acceptAll({ min_confidence: min, kind: kind || undefined, asset, as_of: asOf }));
  if (job) await shown(follow(job, asset));
}

/** Says how far a job is until it is done, and offers to take it back. */
async function follow(job, asset) {
  const bar = progress();
  while (job && (job.state === "collecting" || job.state === "deciding")) {
    const of = job.action === "revert" ? "Taking back" : "Accepting";
    bar.say(
      job.state === "collecting"
        ? `${of}: ${count(job.total, "suggestion", "suggestions")} so far`
        : `${of}: ${number(job.done + job.skipped)} of ${count(job.total, "suggestion", "suggestions")}`,
    );
    await new Promise((resolve) => setTimeout(resolve, JOB_EVERY_MS));
    const id = job.id;
    // It goes on whether or not it can be looked at now.
    job = await api.job(id).catch((error) => (error.status === 0 || error.status >= 500 ? job : Promise.reject(error)));
  }
  bar.close();
  const left = job.skipped ? ` ${count(job.skipped, "was", "were")} decided otherwise meanwhile.` : "";
  if (job.action === "revert") {
    toast(`${count(job.done, "suggestion is", "suggestions are")} pending again.${left}`, "info");
  } else {
    const back = { name: "Take back", run: () => shown(takeBack(job.id, asset)) };
    toast(`${count(job.done, "suggestion", "suggestions")} accepted.${left}`, "info", job.done ? back : null);
  }
  if (asset) {
    const row = await shown(api.asset(asset));
    if (row) gallery.update(asset, { pending: row.pending, accepted: row.accepted_tags.length });
  } else {
    shownSource = null;
  }
  refreshCounts();
  if (shownAsset) openAsset(shownAsset);
  apply();
}

async function takeBack(id, asset) {
  await follow(await api.revertJob(id), asset);
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
$("filters").onsubmit = (event) => event.preventDefault();
$("accept-all").onclick = () => shown(askAcceptAll());
$("accept-cancel").onclick = () => $("accept-dialog").close();
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

/** Notes whether words are still being typed. */
function typed(still) {
  clearTimeout(pausing);
  typing = still;
}

$("newer").onclick = () => {
  shownSource = null;
  apply();
};
$("similar").onclick = similar;
$("previous").onclick = () => stepPicture(-1);
$("next").onclick = () => stepPicture(1);
$("back").onclick = () => go({ asset: "" });
$("show-failures").onclick = () => go({ view: place().view ? "" : "failures" });
$("show-help").onclick = () => openDialog("help");
$("show-reviewer").onclick = () => {
  $("reviewer-input").value = reviewer.get();
  openDialog("reviewer");
};
$("reviewer-form").onsubmit = () => {
  reviewer.set($("reviewer-input").value.trim());
  showReviewer();
};

function showReviewer() {
  $("reviewer-name").textContent = reviewer.get() || "You";
}

function similar() {
  if (shownAsset) go({ like: shownAsset, words: "", view: "" });
}

// --- signing in

signIn.needed = () => {
  if ($("login").open) return;
  $("login-error").hidden = true;
  openDialog("login");
  $("login-token").focus();
};
$("login").addEventListener("cancel", (event) => event.preventDefault());
$("login-form").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await api.signIn($("login-token").value);
  } catch (error) {
    $("login-error").textContent = error.status === 401 ? "That is not the token." : error.message;
    $("login-error").hidden = false;
    $("login-token").select();
    return;
  }
  $("login-token").value = "";
  $("login").close();
  start();
};

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
  u: () => panel.undo(),
  m: similar,
  "/": () => $("words").select(),
  "?": () => openDialog("help"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || dialogOpen() || !(event.target instanceof Element)) return;
  const typing = event.target.matches("input:not([type=range]):not([type=radio]), textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (place().view || place().words || place().like) go({ view: "", words: "", like: "" });
    return;
  }
  // Lists and sliders need the arrows themselves.
  const arrows = event.key.startsWith("Arrow") && event.target.matches("select, input");
  const action = KEYS[event.key];
  if (!action || typing || arrows || (place().view && event.key !== "?" && event.key !== "/")) return;
  event.preventDefault();
  shown(Promise.resolve(action()));
});

for (const moved of ["popstate", "hashchange"]) {
  window.addEventListener(moved, () => {
    typed(false);
    apply();
  });
}
document.querySelector(".brand").addEventListener("click", (event) => {
  event.preventDefault();
  go({ words: "", like: "", kind: "", status: "", min: 0, view: "", asset: wide.matches ? place().asset : "" });
});

async function start() {
  shownSource = null;
  shownAsset = null;
  showReviewer();
  await Promise.all([refreshCounts(), apply()]);
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
