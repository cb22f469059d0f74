// The list of what could not be analyzed, and why.

import { api } from "./api.js";
import { $, el, nameOf, pathOf } from "./dom.js";
import { shown } from "./notices.js";

const PAGE = 200;

export class Failures {
  constructor({ onClose }) {
    this.root = $("failures");
    this.onClose = onClose;
  }

  async show() {
    // What cannot be decoded is not among the pictures; all others are, and lack something.
    this.sections = [
      section("Pictures that cannot be shown", "They are not in the list of pictures."),
      section("Pictures that lack something", "They are in the list of pictures."),
    ];
    this.more = el("button", { type: "button", hidden: true, onclick: () => this.load() }, "Show more");
    this.empty = el("p", { class: "empty", hidden: true }, "Nothing failed.");
    this.root.replaceChildren(
      el(
        "div",
        { class: "bar-row" },
        el("h1", {}, "Failures"),
        el("p", {}, "Try again with ", el("code", {}, "docent retry --failed"), "."),
        el("button", { type: "button", onclick: this.onClose }, "Back to the pictures"),
      ),
      this.empty,
      ...this.sections.map(({ root }) => root),
      this.more,
    );
    this.after = null;
    await this.load();
  }

  async load() {
    this.more.disabled = true;
    const part = await shown(api.failures({ limit: PAGE, after: this.after }));
    this.more.disabled = false;
    if (!part) return;
    this.after = part.next;
    for (const failure of part.failures) this.sections[failure.analyzer === "decode" ? 0 : 1].body.append(line(failure));
    for (const { root, body } of this.sections) root.hidden = body.children.length === 0;
    this.empty.hidden = this.sections.some(({ root }) => !root.hidden);
    this.more.hidden = part.next === null;
  }
}

function section(name, note) {
  const body = el("tbody");
  const heads = ["File", "Analyzer", "Reason", "Tries", "Last"].map((head) => el("th", { scope: "col" }, head));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body);
  return { body, root: el("section", { hidden: true }, el("h2", {}, name), el("p", {}, note), table) };
}

function line({ uri, analyzer, kind, reason, attempts, at }) {
  const when = new Date(at);
  return el(
    "tr",
    {},
    el("td", { class: "file", title: pathOf(uri) }, el("b", {}, nameOf(uri)), el("small", {}, pathOf(uri))),
    el("td", {}, analyzer),
    el("td", { class: "reason" }, reason, kind === "transient" ? el("small", {}, "may pass by itself") : null),
    el("td", { class: "number" }, String(attempts)),
    el("td", {}, el("time", { dateTime: at }, Number.isNaN(when.getTime()) ? at : when.toLocaleString())),
  );
}
