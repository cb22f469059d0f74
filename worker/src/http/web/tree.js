// The terms below each other, loaded as they are opened; or those that were found, one below the other.

import { api } from "./api.js";
import { count, el, icon, number } from "./dom.js";
import { shown } from "./notices.js";

const PAGE = 200;

const folded = (text) => text.toLowerCase().replace(/[\s_-]+/g, " ").trim();

/** The word by which a term was found, where its name does not say it. */
export function foundBy({ name, labels }, words) {
  const asked = folded(words).split(" ");
  const says = (text) => asked.every((word) => folded(text).split(" ").some((own) => own.startsWith(word)));
  return says(name) ? null : (labels.find(({ text }) => says(text))?.text ?? null);
}

export class Tree {
  /** `onOpen(id)` hears which term is chosen, `onShown(count, words)` how many there are on top, or were found. */
  constructor(root, { onOpen, onShown }) {
    Object.assign(this, { root, onOpen, onShown });
    this.words = "";
    /** Terms whose narrower terms are shown. */
    this.opened = new Set();
    this.selected = null;
    root.addEventListener("click", (event) => this.onClick(event));
    root.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Shows the top terms, or those that fit `words`. */
  async show(words = this.words) {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.words = words;
    const list = el("ul");
    const part = await this.fill(list, words ? { q: words } : { parent: "top" }, 1, signal);
    if (!part || signal.aborted) return;
    const focused = this.root.contains(document.activeElement);
    this.root.replaceChildren(...list.children);
    this.mark();
    if (focused) this.stop()?.focus();
    this.onShown(part.count, words);
  }

  /** Adds a part of a list, with everything in it that is open. */
  async fill(list, query, level, signal, after = null) {
    const part = await shown(api.terms({ ...query, limit: PAGE, after }, signal));
    if (!part || signal.aborted) return null;
    list.querySelector(":scope > .more")?.remove();
    for (const term of part.terms) {
      const item = this.item(term, level);
      list.append(item);
      if (!this.words && this.opened.has(term.id) && term.children) await this.unfold(item, signal);
    }
    if (part.next) {
      const left = part.count - Number(part.next);
      const more = () => this.fill(list, query, level, signal, part.next).then(() => this.mark());
      const name = `Show ${number(Math.min(PAGE, left))} more of ${number(left)}`;
      list.append(el("li", { class: "more", role: "none" }, el("button", { type: "button", class: "quiet small", onclick: more }, name)));
    }
    return part;
  }

  item({ id, name, path, labels, children, enabled, heading }, level) {
    const above = this.words ? path.slice(0, Math.max(0, path.length - name.length - 3)) : "";
    const word = this.words ? foundBy({ name, labels }, this.words) : null;
    const off = enabled ? null : el("span", { class: "chip" }, "off");
    const item = el(
      "li",
      { class: `${heading ? "heading" : ""}${enabled ? "" : " off"}`, role: "treeitem", tabIndex: -1, ariaLevel: String(level), data: { term: id } },
      el(
        "div",
        { class: "node", title: path },
        el("span", { class: "twisty", "aria-hidden": "true" }, !this.words && children ? icon("next") : ""),
        el("span", { class: "name" }, name, word ? el("i", {}, ` ${word}`) : null, above ? el("small", {}, above) : null),
        off,
        children ? el("span", { class: "tally", title: count(children, "narrower term", "narrower terms") }, number(children)) : null,
      ),
    );
    if (!this.words && children) item.ariaExpanded = "false";
    return item;
  }

  async unfold(item, signal = this.abort.signal) {
    const id = item.dataset.term;
    this.opened.add(id);
    item.ariaExpanded = "true";
    const list = el("ul", { role: "group" });
    const part = await this.fill(list, { parent: id }, Number(item.ariaLevel) + 1, signal);
    if (!part) return;
    item.querySelector(":scope > ul")?.remove();
    item.append(list);
    this.mark();
  }

  fold(item) {
    item.ariaExpanded = "false";
    item.querySelector(":scope > ul")?.remove();
    this.opened.delete(item.dataset.term);
    this.mark();
  }

  toggle(item) {
    if (item.ariaExpanded === "true") this.fold(item);
    else if (item.ariaExpanded === "false") this.unfold(item);
  }

  /** Marks a term as the one that is shown. */
  select(id) {
    this.selected = id;
    this.mark();
  }

  /** One item can be reached by Tab: the chosen one, or else the first. */
  mark() {
    const items = this.items();
    const chosen = items.find(({ dataset }) => dataset.term === this.selected);
    for (const item of items) {
      item.ariaSelected = String(item === chosen);
      item.tabIndex = -1;
    }
    const stop = chosen ?? items[0];
    if (stop) stop.tabIndex = 0;
  }

  stop() {
    return this.root.querySelector("[role=treeitem][tabindex='0']");
  }

  /** What is in view, from top to bottom. */
  items() {
    return [...this.root.querySelectorAll("[role=treeitem]")];
  }

  onClick(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.target.closest(".more")) return;
    if (event.target.closest(".twisty") && item.ariaExpanded) this.toggle(item);
    else this.open(item);
  }

  open(item) {
    this.select(item.dataset.term);
    this.onOpen(item.dataset.term);
  }

  onKey(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.target !== item) return;
    const items = this.items();
    const at = items.indexOf(item);
    const go = {
      ArrowDown: () => items[at + 1],
      ArrowUp: () => items[at - 1],
      Home: () => items[0],
      End: () => items.at(-1),
      ArrowRight: () => (item.ariaExpanded === "false" ? void this.unfold(item) : item.ariaExpanded && items[at + 1]),
      ArrowLeft: () => (item.ariaExpanded === "true" ? void this.fold(item) : item.parentElement.closest("[role=treeitem]")),
      Enter: () => void this.open(item),
      " ": () => void this.open(item),
    }[event.key];
    if (!go) return;
    event.preventDefault();
    event.stopPropagation();
    const next = go();
    if (!next) return;
    for (const other of items) other.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
