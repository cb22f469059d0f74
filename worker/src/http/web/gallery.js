// The grid of pictures. Holds a light row per picture it knows of, but only the visible ones are in the document.

import { api } from "./api.js";
import { $, count, el, nameOf, number, pathOf, percent } from "./dom.js";
import { shown } from "./notices.js";

const PAGE = 200;
const HITS = 200;
const MIN_CELL = 132;
const GAP = 8;
const PADDING = 12;
const CAPTION = 24;
const OVERSCAN_ROWS = 2;
/** Characters of an excerpt before the first word that was looked for. */
const EXCERPT_BEFORE = 12;

export class Gallery {
  constructor({ onOpen }) {
    this.root = $("cells");
    this.spacer = el("div", { class: "spacer" });
    this.root.append(this.spacer);
    this.onOpen = onOpen;
    this.rows = [];
    this.places = new Map();
    this.cells = new Map();
    this.next = null;
    this.selected = null;
    this.loading = null;
    this.root.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.root.addEventListener("click", (event) => {
      const cell = event.target.closest(".cell");
      if (cell) this.onOpen(cell.dataset.asset);
    });
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
    this.root.setAttribute("aria-busy", "true");
    $("gallery-empty").hidden = true;
    const { signal } = this.abort;
    await this.more();
    if (signal.aborted) return;
    this.root.removeAttribute("aria-busy");
    this.root.scrollTop = 0;
    this.render();
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
    this.loading ??= this.fetch().finally(() => (this.loading = null));
    return this.loading;
  }

  async fetch() {
    const { signal } = this.abort;
    const { words, like, kind, status, typing } = this.source;
    const filter = { kind, status, min_confidence: this.source.min || null };
    const before = this.rows.length;
    let part;
    if (words) {
      // While somebody types, texts are all there is time for.
      const how = typing ? { by: "text", unfinished: true } : {};
      part = await shown(api.search({ ...filter, ...how, q: words, k: HITS }, signal));
    }
    else if (like) part = await shown(api.similar(like, { ...filter, k: HITS }, signal));
    else {
      // Where few pass the filters, a part may be empty although more follow.
      do part = await shown(api.assets({ ...filter, limit: PAGE, after: part?.next ?? this.next }, signal));
      while (part?.assets.length === 0 && part.next !== null && !signal.aborted);
    }
    if (signal.aborted) return false;
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

  onKey(event) {
    const step = { ArrowDown: this.layout().columns, ArrowUp: -this.layout().columns }[event.key];
    if (!step) return;
    event.preventDefault();
    this.neighbor(step).then((asset) => asset && this.onOpen(asset));
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
    const selected = row.asset_id === this.selected;
    cell.style.width = `${side}px`;
    cell.style.height = `${side + CAPTION}px`;
    cell.style.left = `${PADDING + (place % columns) * (side + GAP)}px`;
    cell.style.top = `${PADDING + Math.floor(place / columns) * rowHeight}px`;
    cell.setAttribute("aria-selected", String(selected));
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
  const frame = el("div", { class: "frame" }, image);
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
