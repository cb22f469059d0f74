// The grid of pictures. Holds a light row per picture it knows of, but only the visible ones are in the document.

import { api } from "./api.js";
import { $, count, el, icon, nameOf, number, pathOf } from "./dom.js";
import { shown } from "./notices.js";

const PAGE = 200;
const HITS = 200;
const MIN_CELL = 132;
const GAP = 8;
const PADDING = 12;
const CAPTION = 24;
const OVERSCAN_ROWS = 2;
/** Parts that are loaded in search of a picture that waits. */
const MOST_PARTS = 10;
/** Characters of an excerpt before the first word that was looked for. */
const EXCERPT_BEFORE = 12;

export class Gallery {
  /** `onOpen(asset)` hears of clicks and keys, `onChosen()` of every change of what is chosen to be decided together. */
  constructor({ onOpen, onChosen }) {
    this.root = $("cells");
    this.spacer = el("div", { class: "spacer" });
    this.root.append(this.spacer);
    this.onOpen = onOpen;
    this.onChosen = onChosen;
    /** Pictures that are chosen to be decided together, and the place where the choice began. */
    this.chosen = new Set();
    this.anchor = null;
    this.rows = [];
    this.places = new Map();
    this.cells = new Map();
    this.next = null;
    this.selected = null;
    this.loading = null;
    this.root.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.root.addEventListener("click", (event) => {
      const cell = event.target.closest(".cell");
      if (cell) this.clicked(cell.dataset.asset, event);
    });
    // Shift and a click select text elsewhere.
    this.root.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.schedule()).observe(this.root);
  }

  /** Shows what `source` names: all pictures, hits for words, or pictures like one. */
  async load(source) {
    this.abort?.abort();
    this.abort = new AbortController();
    this.source = source;
    this.loading = null;
    this.next = undefined;
    this.replaceRows([]);
    this.choose([]);
    this.root.setAttribute("aria-busy", "true");
    $("gallery-empty").hidden = true;
    const { signal } = this.abort;
    await this.more();
    if (signal.aborted) return false;
    this.root.removeAttribute("aria-busy");
    this.root.scrollTop = 0;
    this.render();
    return true;
  }

  /** Puts a picture in front that is not in the list, but belongs into it. */
  admit(asset) {
    if (this.places.has(asset.asset_id)) return;
    this.replaceRows([light(asset), ...this.rows]);
  }

  replaceRows(rows) {
    this.rows = [];
    this.places.clear();
    for (const cell of this.cells.values()) drop(cell);
    this.cells.clear();
    this.add(rows);
  }

  add(rows) {
    for (const row of rows) {
      if (this.places.has(row.asset_id)) continue;
      this.places.set(row.asset_id, this.rows.length);
      this.rows.push(row);
    }
    this.schedule();
  }

  /** Loads the next part, if there is one. Answers whether anything came. */
  more() {
    if (this.next === null) return Promise.resolve(false);
    if (this.loading) return this.loading;
    // What another list waits for is not what this one waits for.
    const mine = this.fetch().finally(() => {
      if (this.loading === mine) this.loading = null;
    });
    this.loading = mine;
    return mine;
  }

  async fetch() {
    const { signal } = this.abort;
    const { words, like, kind, status, order, typing } = this.source;
    // Pictures without a file, or that cannot be decoded, are listed with the failures.
    const filter = { kind, status, min_confidence: this.source.min || null, viewable: true, no_proposals: true };
    const before = this.rows.length;
    let part;
    if (words) {
      // While somebody types, texts are all there is time for.
      const how = typing ? { by: "text", unfinished: true } : {};
      part = await shown(api.search({ ...filter, ...how, q: words, k: HITS }, signal));
    }
    else if (like) {
      const found = await shown(Promise.all([api.asset(like, signal), api.similar(like, { ...filter, k: HITS }, signal)]));
      // The picture that the others are like comes first.
      if (found) part = { hits: [found[0], ...found[1].hits] };
    }
    else {
      // Where few pass the filters, a part may be empty although more follow.
      do part = await shown(api.assets({ ...filter, order, limit: PAGE, after: part?.next ?? this.next }, signal));
      while (part?.assets.length === 0 && part.next !== null && !signal.aborted);
    }
    if (signal.aborted) return false;
    this.failed = part === undefined;
    this.next = part?.next ?? null;
    this.searched = part?.searched ?? null;
    this.weak = (part?.hits ?? []).filter((hit) => hit.weak).length;
    this.add((part?.hits ?? part?.assets ?? []).map(light));
    return this.rows.length > before;
  }

  /** Notes what changed about a picture. */
  update(asset, changes) {
    const place = this.places.get(asset);
    if (place === undefined) return;
    Object.assign(this.rows[place], changes);
    const cell = this.cells.get(place);
    if (cell) badge(cell, this.rows[place]);
  }

  /** Marks a picture and brings it into view. */
  select(asset) {
    this.selected = asset;
    const place = this.places.get(asset);
    if (place !== undefined) this.reveal(place);
    this.render();
  }

  /** The picture `step` places after the selected one; loads more where needed. */
  async neighbor(step) {
    const place = this.places.get(this.selected) ?? (step > 0 ? -1 : this.rows.length);
    const wanted = place + step;
    while (wanted >= this.rows.length && (await this.more()));
    return this.rows[wanted]?.asset_id ?? null;
  }

  first() {
    return this.rows[0]?.asset_id ?? null;
  }

  has(asset) {
    return this.places.has(asset);
  }

  /**
   * The next picture on which something may wait, after the selected one and then from the beginning. Loads more where
   * needed, but not a whole archive in which everything is reviewed.
   */
  async nextOpen() {
    const from = (this.places.get(this.selected) ?? -1) + 1;
    const waits = (row) => !row.finished && row.pending !== 0 && row.asset_id !== this.selected;
    for (let parts = 0; ; parts++) {
      const next = this.rows.slice(from).find(waits);
      if (next) return next.asset_id;
      if (parts === MOST_PARTS || !(await this.more())) break;
    }
    return this.rows.slice(0, from).find(waits)?.asset_id ?? null;
  }

  // --- choosing several

  clicked(asset, { shiftKey, ctrlKey, metaKey }) {
    if (shiftKey) return this.chooseTo(asset);
    if (ctrlKey || metaKey) return this.toggle(asset);
    this.choose([]);
    this.onOpen(asset);
    return undefined;
  }

  /** Adds a picture to the choice, or takes it out. The first choice takes in the picture that is shown. */
  toggle(asset = this.selected) {
    if (!asset) return;
    const chosen = new Set(this.chosen);
    if (chosen.size === 0 && this.selected && asset !== this.selected) chosen.add(this.selected);
    if (!chosen.delete(asset)) chosen.add(asset);
    this.anchor = asset;
    this.choose(chosen);
  }

  /** Chooses everything from where the choice began to a picture. */
  chooseTo(asset) {
    const places = [this.places.get(this.anchor) ?? this.places.get(this.selected) ?? 0, this.places.get(asset)];
    const [from, to] = [Math.min(...places), Math.max(...places)];
    this.anchor ??= this.selected;
    this.choose(this.rows.slice(from, to + 1).map(({ asset_id }) => asset_id));
  }

  /** Moves on and takes along what lies in between. */
  async extend(step) {
    this.anchor ??= this.selected;
    const asset = await this.neighbor(step);
    if (!asset) return;
    const { anchor } = this;
    this.onOpen(asset);
    this.anchor = anchor;
    this.chooseTo(asset);
  }

  chooseAll() {
    this.choose(this.rows.map(({ asset_id }) => asset_id));
  }

  choose(assets) {
    this.chosen = new Set(assets);
    if (this.chosen.size === 0) this.anchor = null;
    for (const [place, cell] of this.cells) this.mark(cell, this.rows[place]);
    this.onChosen();
  }

  mark(cell, { asset_id }) {
    const current = asset_id === this.selected;
    cell.classList.toggle("current", current);
    cell.classList.toggle("chosen", this.chosen.has(asset_id));
    cell.setAttribute("aria-selected", String(current || this.chosen.has(asset_id)));
  }

  onKey(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "a") {
      event.preventDefault();
      this.chooseAll();
      return;
    }
    const step = { ArrowDown: this.layout().columns, ArrowUp: -this.layout().columns }[event.key];
    if (!step) return;
    event.preventDefault();
    if (event.shiftKey) this.extend(step);
    else this.neighbor(step).then((asset) => asset && this.onOpen(asset));
  }

  layout() {
    const width = this.root.clientWidth - 2 * PADDING;
    const columns = Math.max(1, Math.floor((width + GAP) / (MIN_CELL + GAP)));
    const side = Math.floor((width - (columns - 1) * GAP) / columns);
    return { columns, side, rowHeight: side + CAPTION + GAP };
  }

  reveal(place) {
    const { columns, rowHeight } = this.layout();
    const top = PADDING + Math.floor(place / columns) * rowHeight;
    const { scrollTop, clientHeight } = this.root;
    if (top < scrollTop) this.root.scrollTop = top - PADDING;
    else if (top + rowHeight > scrollTop + clientHeight) this.root.scrollTop = top + rowHeight - clientHeight + PADDING;
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.render();
    });
  }

  render() {
    const { columns, side, rowHeight } = this.layout();
    if (side <= 0) return;
    const total = Math.ceil(this.rows.length / columns);
    this.spacer.style.height = `${2 * PADDING + total * rowHeight}px`;
    const top = Math.floor(this.root.scrollTop / rowHeight) - OVERSCAN_ROWS;
    const bottom = Math.ceil((this.root.scrollTop + this.root.clientHeight) / rowHeight) + OVERSCAN_ROWS;
    const from = Math.max(0, top * columns);
    const to = Math.min(this.rows.length, bottom * columns);
    for (const [place, cell] of this.cells) {
      if (place >= from && place < to) continue;
      drop(cell);
      this.cells.delete(place);
    }
    for (let place = from; place < to; place++) this.place(place, { columns, side, rowHeight });
    const active = this.places.get(this.selected);
    if (this.cells.has(active)) this.root.setAttribute("aria-activedescendant", `cell-${active}`);
    else this.root.removeAttribute("aria-activedescendant");
    if (bottom >= total - OVERSCAN_ROWS && this.rows.length > 0) this.more();
  }

  place(place, { columns, side, rowHeight }) {
    const row = this.rows[place];
    let cell = this.cells.get(place);
    if (!cell) {
      cell = build(row, place);
      this.cells.set(place, cell);
      this.root.append(cell);
    }
    cell.style.width = `${side}px`;
    cell.style.height = `${side + CAPTION}px`;
    cell.style.left = `${PADDING + (place % columns) * (side + GAP)}px`;
    cell.style.top = `${PADDING + Math.floor(place / columns) * rowHeight}px`;
    this.mark(cell, row);
    cell.setAttribute("aria-setsize", this.next ? "-1" : String(this.rows.length));
  }
}

/** What the grid needs of a row. */
const light = ({ asset_id, uri, uris, pending, score, accepted_tags, text }) => ({
  asset_id,
  uri: uri ?? uris?.[0] ?? "",
  pending,
  score,
  accepted: accepted_tags?.length ?? 0,
  text,
});

function build(row, place) {
  const image = el("img", { alt: "", decoding: "async", src: api.thumbnailUrl(row.asset_id) });
  const frame = el("div", { class: "frame" }, image, el("span", { class: "tick" }, icon("check")));
  image.addEventListener("error", () => {
    if (image.hasAttribute("src")) frame.classList.add("missing");
  });
  image.addEventListener("load", () => frame.classList.add("loaded"));
  const cell = el(
    "div",
    { class: "cell", id: `cell-${place}`, role: "option", title: pathOf(row.uri), data: { asset: row.asset_id } },
    frame,
    el("span", { class: "name" }, nameOf(row.uri)),
  );
  cell.setAttribute("aria-posinset", String(place + 1));
  if (row.text) frame.append(excerpt(row.text));
  badge(cell, row);
  return cell;
}

/** What a text says around the words that were looked for, which are marked. */
function excerpt({ text, places }) {
  const characters = Array.from(text);
  let at = Math.max(0, (places[0]?.[0] ?? 0) - EXCERPT_BEFORE);
  const parts = at > 0 ? ["…"] : [];
  for (const [from, to] of places) {
    parts.push(characters.slice(at, from).join(""), el("mark", {}, characters.slice(from, to).join("")));
    at = to;
  }
  parts.push(characters.slice(at).join(""));
  return el("span", { class: "excerpt", title: text }, ...parts);
}

function badge(cell, row) {
  for (const old of cell.querySelectorAll(".badge")) old.remove();
  const frame = cell.querySelector(".frame");
  if (row.score !== undefined) frame.append(el("span", { class: "badge score" }, row.score.toFixed(3)));
  if (row.pending > 0) {
    const title = `${count(row.pending, "suggestion", "suggestions")} to review`;
    frame.append(el("span", { class: "badge pending", title, ariaLabel: title }, number(row.pending)));
  } else if (row.pending === 0 && row.accepted > 0) {
    frame.append(el("span", { class: "badge done", title: "Reviewed", ariaLabel: "Reviewed" }, "✓"));
  }
}

/** Takes a cell out of the document and stops its picture from loading. */
function drop(cell) {
  cell.querySelector("img").removeAttribute("src");
  cell.remove();
}
