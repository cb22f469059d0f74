// One term of the vocabulary: what it is called, where it belongs, and what was done to it.

import { api } from "./api.js";
import { chosenTerm, confirmed } from "./asking.js";
import { count, el, icon, number } from "./dom.js";
import { announce, shown, toast } from "./notices.js";

const ROLES = { preferred: "name", alternative: "synonym", hidden: "hidden" };
const ACTIONS = { add: "added", change: "changed", merge: "merged", remove: "removed" };
const SOURCES = { prompts: "its words", head: "a trained rule", decisions: "your decisions" };
const LOG_PAGE = 20;

/** A new term with nothing but a name. */
export const named = (text, language, parents = []) => ({ labels: [{ language, role: "preferred", text }], parents });

export class TermEditor {
  /** `onOpen(id)` asks for another term, `onClose()` for none, `onChanged(id)` hears of a change and what to show then. */
  constructor(root, { onOpen, onClose, onChanged }) {
    Object.assign(this, { root, onOpen, onClose, onChanged });
    /** The language whose names become tags. */
    this.language = "en";
    this.id = null;
    this.detail = null;
    this.show();
  }

  async open(id) {
    this.id = id;
    if (id === null) {
      this.detail = null;
      return this.show();
    }
    const detail = await shown(api.term(id));
    if (this.id !== id) return undefined;
    this.detail = detail ?? null;
    // The id of a merged term leads to the one that stayed.
    this.id = detail?.term.id ?? null;
    return this.show();
  }

  /** Changes the term as it was seen; if others changed other terms meanwhile, once more. */
  async save(change, done) {
    const { id, ...seen } = this.detail.term;
    const body = structuredClone(seen);
    change(body);
    const saved = await shown(this.put(id, body, seen));
    if (!saved) return;
    announce(done);
    await this.onChanged(id);
  }

  async put(id, body, seen) {
    try {
      return await api.putTerm(id, { ...body, revision: this.detail.revision });
    } catch (error) {
      if (error.code !== "outdated") throw error;
      const now = await api.term(id);
      const { id: _, ...fresh } = now.term;
      if (JSON.stringify(fresh) === JSON.stringify(seen)) return api.putTerm(id, { ...body, revision: now.revision });
      await this.open(id);
      toast("Somebody else changed this term. Look at it again.", "conflict");
      return undefined;
    }
  }

  show() {
    const { detail } = this;
    if (!detail) {
      this.root.replaceChildren(el("p", { class: "empty" }, "Choose a term, or look for one."));
      return;
    }
    const { name, path, source, term } = detail;
    this.root.replaceChildren(
      el(
        "div",
        { class: "term-head" },
        el("button", { type: "button", class: "quiet term-back", onclick: () => this.onClose() }, icon("prev"), "Terms"),
        el("h2", {}, name),
        path === name ? null : el("p", { class: "note" }, path),
        el("p", { class: "note" }, source ? `Found in pictures by ${SOURCES[source] ?? source}` : "", term.uri ? `${source ? " · " : ""}${term.uri}` : ""),
      ),
      this.switches(),
      this.words(),
      this.notes(),
      this.finding(),
      this.place(),
      this.ends(),
      this.log(),
    );
  }

  switches() {
    const { enabled, heading } = this.detail.term;
    const box = (id, name, checked, change) =>
      el("label", { class: "check" }, el("input", { id, type: "checkbox", role: "switch", checked, onchange: change }), name);
    return el(
      "div",
      { class: "switches" },
      box("term-enabled", "Offered for pictures", enabled, (event) => {
        const on = event.target.checked;
        this.save((term) => (term.enabled = on), on ? "It is offered." : "It is off.");
      }),
      box("term-heading", "Only groups others", heading, (event) => {
        const on = event.target.checked;
        this.save((term) => (term.heading = on), on ? "It only groups others." : "It is a tag.");
      }),
    );
  }

  words() {
    const { term, name } = this.detail;
    const { labels } = term;
    const languages = [...new Set([this.language, ...labels.map(({ language }) => language)])];
    const of = (language) => labels.filter((label) => label.language === language);
    const line = (language) =>
      el(
        "div",
        { class: "words" },
        el("span", { class: "language" }, language || "no language"),
        el("ul", {}, ...of(language).map((label) => this.word(label))),
      );
    return el(
      "section",
      {},
      el("h3", {}, "Words"),
      ...languages.filter((language) => of(language).length).map(line),
      entry({ id: "term-rename", label: `Name in ${this.language}`, value: name, button: "Rename" }, (text) => {
        if (text !== name) this.save((body) => rename(body, this.language, text), `Renamed to ${text}`);
      }),
      entry({ id: "term-synonym", label: "Another word", button: "Add", extra: [languageBox(this.language), roleBox()] }, (text, form) => {
        const language = form.elements.language.value.trim().toLowerCase();
        const role = form.elements.role.value;
        this.save((body) => {
          if (role === "preferred") rename(body, language, text);
          else body.labels.push({ language, role, text });
        }, `Added ${text}`);
      }),
    );
  }

  word(label) {
    const { text, role } = label;
    const { labels } = this.detail.term;
    // A term keeps one name at least.
    const last = role === "preferred" && labels.filter((other) => other.role === "preferred").length === 1;
    const same = (other) => other.text === text && other.role === role && other.language === label.language;
    const remove = () => this.save((term) => (term.labels = term.labels.filter((other) => !same(other))), `Removed ${text}`);
    const button = el("button", { type: "button", class: "quiet small", title: `Remove “${text}”`, ariaLabel: `Remove ${text}`, onclick: remove }, "×");
    return el("li", { class: role }, el("span", {}, text), el("small", {}, ROLES[role]), last ? null : button);
  }

  notes() {
    const { notes } = this.detail.term;
    const own = notes.find(({ language }) => language === this.language);
    const others = notes.filter((note) => note !== own);
    const text = el("textarea", { id: "term-note", rows: 3, maxLength: 10000, value: own?.text ?? "", ariaLabel: `Scope note in ${this.language}` });
    const save = (event) => {
      event.preventDefault();
      const written = text.value.trim();
      this.save((term) => {
        term.notes = others.slice();
        if (written) term.notes.unshift({ language: this.language, text: written });
      }, "The note is saved.");
    };
    return el(
      "section",
      {},
      el("h3", {}, "Scope note"),
      el("form", { class: "entry wide", onsubmit: save }, text, el("button", { type: "submit" }, "Save")),
      ...others.map(({ language, text: said }) => el("p", { class: "note" }, `${language || "no language"}: ${said}`)),
    );
  }

  /** How it is found in pictures, and by what other systems know it. */
  finding() {
    const { uri, notation, prompts, threshold } = this.detail.term;
    const field = (id, label, value, attributes) =>
      el("label", { class: "field" }, label, el("input", { id, value: value ?? "", autocomplete: "off", ...attributes }));
    const sentences = el("textarea", { id: "term-prompts", rows: 3, maxLength: 10000, value: (prompts ?? []).join("\n") });
    const save = (event) => {
      event.preventDefault();
      const text = (id) => event.target.elements[id].value.trim();
      const least = text("term-threshold");
      this.save((term) => {
        term.uri = text("term-uri") || null;
        term.notation = text("term-notation") || null;
        term.prompts = sentences.value.split("\n").map((line) => line.trim()).filter(Boolean);
        term.threshold = least === "" ? null : Number(least);
      }, "Saved");
    };
    return el(
      "details",
      { class: "finding" },
      el("summary", {}, "Matching and addresses"),
      el(
        "form",
        { class: "fields", onsubmit: save },
        el("label", { class: "field" }, "Sentences that describe a picture of it, one on each line", sentences),
        field("term-threshold", "Offered from this probability on (empty: the usual one)", threshold, { type: "number", min: 0, max: 1, step: "any" }),
        field("term-uri", "Address in a public thesaurus", uri, { type: "url", maxLength: 2000 }),
        field("term-notation", "Code in a classification", notation, { maxLength: 500 }),
        el("button", { type: "submit" }, "Save"),
      ),
    );
  }

  place() {
    const { term, broader, narrower, children } = this.detail;
    const { id } = term;
    const link = ({ id: other, name, path }) =>
      el("button", { type: "button", class: "link", title: path, onclick: () => this.onOpen(other) }, name);
    const without = (parent) => () =>
      this.save((body) => (body.parents = body.parents.filter((other) => other !== parent.id)), `No longer below ${parent.name}`);
    const above = broader.map((parent) =>
      el(
        "li",
        {},
        link(parent),
        el("button", { type: "button", class: "quiet small", title: `No longer below “${parent.name}”`, ariaLabel: `No longer below ${parent.name}`, onclick: without(parent) }, "×"),
      ),
    );
    const more = children - narrower.length;
    return el(
      "section",
      {},
      el("h3", {}, "Broader"),
      above.length ? el("ul", { class: "links" }, ...above) : el("p", { class: "note" }, "It is a top term."),
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", id: "term-move", onclick: () => this.move() }, "Move …"),
        broader.length ? el("button", { type: "button", id: "term-also", onclick: () => this.move(true) }, "Also below …") : null,
      ),
      el("h3", {}, "Narrower", children ? el("span", { class: "tally" }, number(children)) : null),
      el("ul", { class: "links" }, ...narrower.map((child) => el("li", {}, link(child))), more > 0 ? el("li", {}, `and ${number(more)} more`) : null),
      entry({ id: "term-narrower", label: "A narrower term", button: "Add" }, async (text) => {
        const added = await shown(api.addTerm(named(text, this.language, [id])));
        if (added) await this.onChanged(id);
      }),
    );
  }

  ends() {
    const { children } = this.detail;
    const remove = el("button", { type: "button", id: "term-remove", class: "danger", disabled: children > 0, onclick: () => this.remove() }, "Remove …");
    if (children) remove.title = "There are narrower terms: move or remove them first";
    return el(
      "div",
      { class: "buttons ends" },
      el("button", { type: "button", id: "term-merge", onclick: () => this.merge() }, "Merge into …"),
      remove,
    );
  }

  async move(also = false) {
    const { term, name } = this.detail;
    const parent = await chosenTerm({
      title: `${also ? "Also put" : "Move"} “${name}” below`,
      text: "Look for the broader term.",
      button: (chosen) => `${also ? "Put" : "Move"} below “${chosen.name}”`,
      without: term.id,
    });
    if (!parent) return;
    await this.save((body) => {
      const kept = also ? body.parents.filter((id) => id !== parent.id) : [];
      body.parents = [...kept, parent.id];
    }, `Moved below ${parent.name}`);
  }

  async merge() {
    const { term, name, revision } = this.detail;
    const into = await chosenTerm({
      title: `Merge “${name}” into`,
      text: `“${name}” goes: its words, what is below it, and what was decided go to the other term.`,
      button: (chosen) => `Merge into “${chosen.name}”`,
      without: term.id,
    });
    if (!into) return;
    const stays = await shown(api.mergeTerm(term.id, { into: into.id, revision }));
    if (stays) await this.onChanged(stays.term.id);
  }

  async remove() {
    const { term, name, revision } = this.detail;
    const agreed = await confirmed({
      title: `Remove “${name}”?`,
      text: "What was decided stays decided. What is pending goes, or becomes a proposed term again.",
      button: "Remove",
    });
    if (!agreed || !(await shown(api.removeTerm(term.id, revision)))) return;
    await this.onChanged(null);
  }

  log() {
    const list = el("ul", { class: "log" });
    const more = el("button", { type: "button", class: "quiet small", hidden: true }, "Show more");
    const { id } = this.detail.term;
    let after = null;
    const load = async () => {
      const part = await shown(api.termLog({ term: id, limit: LOG_PAGE, after }));
      if (!part) return;
      after = part.next;
      list.append(...part.entries.map((entry) => logged(entry, this.language)));
      more.hidden = after === null;
    };
    more.onclick = load;
    const details = el("details", { class: "history" }, el("summary", {}, "Log"), list, more);
    details.addEventListener("toggle", () => details.open && !list.children.length && load());
    return details;
  }
}

/** Gives a term another name in a language; the earlier one becomes a synonym. */
function rename(term, language, text) {
  const others = term.labels.filter((label) => !(label.language === language && label.text === text));
  for (const label of others) if (label.language === language && label.role === "preferred") label.role = "alternative";
  term.labels = [{ language, role: "preferred", text }, ...others];
}

/** A field with a button; `onText(text, form)` hears what was typed. */
function entry({ id, label, value = "", button, extra = [] }, onText) {
  const input = el("input", { id, value, maxLength: 500, autocomplete: "off", ariaLabel: label, placeholder: label });
  const submit = (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text) onText(text, event.target);
  };
  return el("form", { class: "entry", onsubmit: submit }, input, ...extra, el("button", { type: "submit" }, button));
}

function languageBox(language) {
  return el("input", { name: "language", class: "language-box", value: language, maxLength: 35, pattern: "[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*", title: "A language, such as en, de or pt-BR", ariaLabel: "Language" });
}

function roleBox() {
  const roles = Object.entries({ alternative: "synonym", preferred: "name", hidden: "hidden" });
  return el("select", { name: "role", ariaLabel: "What it is" }, ...roles.map(([value, name]) => el("option", { value }, name)));
}

/** What an entry of the log says. */
function logged({ at, reviewer, client, action, before, after }, language) {
  const when = new Date(at);
  const what = [ACTIONS[action] ?? action, ...(action === "change" ? differences(before, after, language) : [])];
  if (action === "merge") what.push(`into “${nameOf(after, language)}”`);
  return el(
    "li",
    {},
    el("time", { dateTime: at }, Number.isNaN(when.getTime()) ? at : when.toLocaleString()),
    el("b", {}, reviewer),
    el("small", {}, client),
    el("span", {}, what.join(": ").replace(/^merged: /, "merged ")),
  );
}

const nameOf = (term, language) => {
  const names = term.labels.filter(({ role }) => role === "preferred");
  return (names.find((label) => label.language === language) ?? names[0] ?? term.labels[0])?.text ?? term.id;
};

/** What a change was about, in a few words. */
function differences(before, after, language) {
  if (!before || !after) return [];
  const parts = [];
  const [was, is] = [nameOf(before, language), nameOf(after, language)];
  const same = (of) => JSON.stringify(of(before)) === JSON.stringify(of(after));
  if (was !== is) parts.push(`“${was}” → “${is}”`);
  const words = after.labels.length - before.labels.length;
  if (words > 0 && was === is) parts.push(`${count(words, "word", "words")} more`);
  else if (words < 0) parts.push(`${count(-words, "word", "words")} fewer`);
  if (!same(({ parents }) => parents)) parts.push("moved");
  if (!same(({ notes }) => notes)) parts.push("scope note");
  if (!same(({ prompts }) => prompts)) parts.push("sentences");
  if (!same(({ threshold }) => threshold)) parts.push("threshold");
  if (!same(({ uri, notation }) => [uri, notation])) parts.push("address");
  if (before.enabled !== after.enabled) parts.push(after.enabled ? "switched on" : "switched off");
  if (before.heading !== after.heading) parts.push(after.heading ? "groups others" : "is a tag");
  return parts.length ? [parts.join(", ")] : [];
}
