// The vocabulary: its tree, one term of it, and files in and out.

import { api } from "./api.js";
import { $, count, el, number } from "./dom.js";
import { Importing } from "./importing.js";
import { shown } from "./notices.js";
import { named, TermEditor } from "./term.js";
import { Tree } from "./tree.js";

/** Somebody who types so slowly waits for an answer. */
const TYPING_MS = 200;
const FORMATS = [["json", "JSON"], ["csv", "CSV"], ["keywords", "keywords"], ["turtle", "SKOS (Turtle)"], ["rdfxml", "SKOS (RDF/XML)"]];

export class VocabularyView {
  /** `onTerm(id)` hears which term is to be shown, or null. */
  constructor({ onClose, onTerm }) {
    this.root = $("vocabulary");
    this.isOpen = false;
    this.changed = false;
    this.importing = new Importing({ onDone: () => this.refresh() });
    this.tree = new Tree($("terms"), {
      onOpen: onTerm,
      onShown: (found, words) => {
        $("terms-empty").hidden = found > 0;
        $("terms-empty").textContent = words ? "No term begins so." : "There are no terms yet: every word of a network is a tag.";
      },
    });
    this.editor = new TermEditor($("term"), {
      onOpen: onTerm,
      onClose: () => onTerm(null),
      onChanged: (id) => this.refresh(id),
    });
    this.onTerm = onTerm;
    $("vocabulary-close").onclick = onClose;
    $("vocabulary-import").onclick = () => $("import-file").click();
    $("vocabulary-export").append(
      ...FORMATS.map(([format, name]) => el("a", { href: api.exportUrl(format), download: "" }, name)),
    );
    $("term-search").onsubmit = (event) => {
      event.preventDefault();
      this.search();
    };
    let pausing = null;
    $("term-words").oninput = () => {
      clearTimeout(pausing);
      pausing = setTimeout(() => this.search(), TYPING_MS);
    };
    $("term-add").onsubmit = (event) => {
      event.preventDefault();
      this.add();
    };
  }

  /** Whether something was changed since it was asked last. */
  wasChanged() {
    const { changed } = this;
    this.changed = false;
    return changed;
  }

  /** Shows the tree, and one term where `id` names one. */
  async show(id) {
    const { isOpen } = this;
    this.isOpen = true;
    await Promise.all([isOpen || this.load(), this.editor.id === id || this.open(id)]);
  }

  hide() {
    this.isOpen = false;
  }

  load() {
    return Promise.all([this.sum(), this.tree.show()]);
  }

  async sum() {
    const sum = await shown(api.vocabulary());
    if (!sum) return;
    this.editor.language = sum.language;
    const { applied } = sum;
    const parts = [count(sum.terms, "term", "terms"), `language ${sum.language}`];
    if (applied?.behind) parts.push(`applied to ${number(applied.done)} of ${count(applied.of, "picture", "pictures")}`);
    $("vocabulary-sum").textContent = parts.join(" · ");
  }

  search() {
    const words = $("term-words").value.trim();
    if (words !== this.tree.words) shown(this.tree.show(words));
  }

  async open(id) {
    this.root.classList.toggle("has-term", id !== null);
    this.tree.select(id);
    await this.editor.open(id);
  }

  /** Reads everything again, and shows one term of it. */
  async refresh(id = this.editor.id) {
    this.changed = true;
    await Promise.all([this.load(), this.open(id)]);
    this.onTerm(this.editor.id);
  }

  async add() {
    const name = $("term-name").value.trim();
    if (!name) return;
    const added = await shown(api.addTerm(named(name, this.editor.language)));
    if (!added) return;
    $("term-name").value = "";
    await this.refresh(added.term.id);
  }
}
