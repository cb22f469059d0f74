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
    this.body = el("tbody");
    this.more = el("button", { type: "button", hidden: true, onclick: () => this.load() }, "Show more");
    const heads = ["File", "Analyzer", "Reason", "Tries", "Last"].map((name) => el("th", { scope: "col" }, name));
    this.table = el("table", { hidden: true }, el("thead", {}, el("tr", {}, ...heads)), this.body);
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
      this.table,
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
    this.body.append(...part.failures.map(line));
    this.table.hidden = this.body.children.length === 0;
    this.empty.hidden = !this.table.hidden;
    this.more.hidden = part.next === null;
  }
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
