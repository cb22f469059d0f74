// The suggestions of the selected picture, and the decisions on them.

import { api } from "./api.js";
import { $, el, icon, KIND_NAMES, KINDS, percent } from "./dom.js";
import { announce, toast } from "./notices.js";

const DONE = { accept: "accepted", reject: "rejected", undo: "pending" };
const STATUS_NAMES = { pending: "to review", accepted: "accepted", rejected: "rejected", superseded: "superseded" };

export class Panel {
  /** `onDecided(before, after)` hears of every change, `onView()` of every change of selection or rows. */
  constructor({ onDecided, onView, onOpen }) {
    this.root = $("panel");
    this.onDecided = onDecided;
    this.onView = onView;
    this.onOpen = onOpen;
    this.filter = { kind: "", status: "", min: 0 };
    this.decisions = [];
    this.last = Promise.resolve();
    this.forget();
    this.root.addEventListener("click", (event) => this.onClick(event));
    this.root.addEventListener("pointerover", (event) => this.hover(event.target.closest(".row")?.dataset.id ?? null));
    this.root.addEventListener("pointerleave", () => this.hover(null));
  }

  clear() {
    this.forget();
    this.render();
  }

  forget() {
    this.asset = null;
    this.rows = [];
    this.selected = null;
    this.hovered = null;
    /** Decided while the picture is open: they stay in view whatever the filter says, so that they can be undone. */
    this.touched = new Set();
  }

  show(asset, rows, wanted = null) {
    this.asset = asset;
    this.rows = rows;
    this.touched = new Set(wanted ? [wanted] : []);
    this.hovered = null;
    this.selected = rows.find(({ id }) => id === wanted)?.id ?? this.first();
    this.render();
  }

  setFilter(filter) {
    this.filter = filter;
    if (!this.visible().some(({ id }) => id === this.selected)) this.selected = this.first();
    this.render();
  }

  /** Where to begin: the first that waits. */
  first() {
    const visible = this.visible();
    return (visible.find(({ status }) => status === "pending") ?? visible[0])?.id ?? null;
  }

  /** The rows that pass the filter, in the order they are shown. */
  visible() {
    const { kind, status, min } = this.filter;
    const passes = (row) =>
      this.touched.has(row.id) ||
      ((!kind || row.kind === kind) &&
        (status ? row.status === status : row.status !== "superseded") &&
        row.confidence >= min);
    const order = (row) => KINDS.indexOf(row.kind);
    return this.rows.filter(passes).sort((a, b) => order(a) - order(b) || b.confidence - a.confidence);
  }

  current() {
    return this.rows.find(({ id }) => id === this.selected);
  }

  select(id) {
    this.selected = id;
    this.render();
  }

  hover(id) {
    if (this.hovered === id) return;
    this.hovered = id;
    this.onView();
    for (const row of this.root.querySelectorAll(".row")) row.classList.toggle("hovered", row.dataset.id === id);
  }

  /** Selects the next or previous row; answers false at the end. */
  step(by) {
    const visible = this.visible();
    const next = visible[visible.findIndex(({ id }) => id === this.selected) + by];
    if (!next) return false;
    this.select(next.id);
    return true;
  }

  onClick(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const action = event.target.closest("button")?.dataset.action;
    this.select(row.dataset.id);
    if (action) this.decide(action, row.dataset.id, { advance: false });
  }

  /** Decides about a row, the selected one where none is named, and goes on to the next that waits. */
  decide(action, id = this.selected, { advance = true } = {}) {
    const row = this.rows.find((row) => row.id === id);
    if (!row) return;
    if (action !== "undo" && row.status !== "pending") {
      toast(`“${row.value}” is ${STATUS_NAMES[row.status]}; undo that first.`, "info");
      return;
    }
    this.touched.add(id);
    this.shownAs(row, DONE[action]);
    if (advance) this.advance(id);
    this.enqueue(() => this.send(action, row));
  }

  /** Takes back the last decision, or the one on the selected row if none was made here. */
  undo() {
    this.enqueue(async () => {
      const last = this.decisions.pop();
      const row = this.rows.find(({ id }) => id === (last?.id ?? this.selected));
      if (row && (row.status === "accepted" || row.status === "rejected")) {
        this.touched.add(row.id);
        this.shownAs(row, "pending");
        this.select(row.id);
        await this.send("undo", row);
      } else if (last) {
        if (await this.send("undo", { ...last })) this.onOpen(last.asset_id, last.id);
      } else {
        toast("There is no decision to undo.", "info");
      }
    });
  }

  /** Decisions are sent one after the other, in the order they were made. */
  enqueue(work) {
    this.last = this.last.then(work).catch((error) => toast(error.message));
    return this.last;
  }

  advance(id) {
    const visible = this.visible();
    const from = visible.findIndex((row) => row.id === id) + 1;
    const next = [...visible.slice(from), ...visible.slice(0, from)].find(({ status }) => status === "pending");
    if (next) this.select(next.id);
  }

  /** Shows a row as it will be once the server agrees. */
  shownAs(row, status) {
    row.before ??= row.status;
    row.status = status;
    row.busy = true;
    this.render();
  }

  async send(action, row) {
    const before = row.before ?? row.status;
    try {
      const decided = await api.decide(row.id, action);
      this.settle(row, decided);
      if (action === "undo") this.decisions = this.decisions.filter(({ id }) => id !== row.id);
      else this.decisions.push({ ...decided });
      announce(`${decided.value}: ${STATUS_NAMES[decided.status]}`);
      this.onDecided({ ...row, status: before }, decided);
      return true;
    } catch (error) {
      this.settle(row, { status: before });
      if (error.status === 409) await this.conflict(row, before);
      else if (error.status !== 401) toast(error.message);
      return false;
    }
  }

  /** Somebody else was first: says who, and shows the row as it is. */
  async conflict(row, before) {
    const [fresh, log] = await Promise.all([api.suggestion(row.id), api.reviews(row.id)]);
    const first = log.at(-1);
    const who = first ? ` by ${first.reviewer} (${first.client}, ${new Date(first.at).toLocaleTimeString()})` : "";
    toast(`“${fresh.value}” is already ${STATUS_NAMES[fresh.status]}${who}. Your decision was not applied.`, "conflict");
    this.settle(row, fresh);
    if (fresh.status !== before) this.onDecided({ ...row, status: before }, fresh);
  }

  settle(row, fresh) {
    delete row.before;
    delete row.busy;
    Object.assign(row, fresh);
    this.render();
  }

  render() {
    const visible = this.visible();
    const groups = KINDS.map((kind) => [kind, visible.filter((row) => row.kind === kind)]).filter(([, rows]) => rows.length);
    const focused = this.root.contains(document.activeElement);
    this.root.replaceChildren(
      ...groups.map(([kind, rows]) =>
        el(
          "section",
          { class: `group ${kind}` },
          el("h2", {}, KIND_NAMES[kind][rows.length === 1 ? 0 : 1], el("span", { class: "tally" }, String(rows.length))),
          el("ul", {}, ...rows.map((row) => this.row(row))),
        ),
      ),
    );
    if (!groups.length && this.asset) this.root.append(el("p", { class: "empty" }, this.nothing()));
    const current = this.root.querySelector(".row.selected");
    current?.scrollIntoView({ block: "nearest" });
    if (focused) current?.focus({ preventScroll: true });
    this.onView();
  }

  nothing() {
    if (!this.rows.length) return "Nothing has been suggested for this picture.";
    return "No suggestion of this picture passes the filters.";
  }

  row(row) {
    const selected = row.id === this.selected;
    const bar = el("span", { class: "bar" }, el("i"));
    bar.firstChild.style.width = `${row.confidence * 100}%`;
    const item = el(
      "li",
      { class: `row ${row.status}${selected ? " selected" : ""}`, tabIndex: selected ? 0 : -1, data: { id: row.id } },
      el("span", { class: "value" }, row.value),
      el("span", { class: "actions" }, ...buttons(row)),
      el("span", { class: "facts" }, bar, el("b", {}, percent(row.confidence)), el("span", { class: "model", title: row.model }, row.model)),
    );
    if (selected) item.setAttribute("aria-current", "true");
    if (row.busy) item.setAttribute("aria-busy", "true");
    return item;
  }
}

function buttons({ status, value }) {
  const button = (action, name, symbol) =>
    el("button", { type: "button", class: action, title: name, ariaLabel: `${name}: ${value}`, data: { action } }, icon(symbol));
  if (status === "pending") return [button("accept", "Accept (a)", "check"), button("reject", "Reject (r)", "cross")];
  const chip = el("span", { class: "chip" }, STATUS_NAMES[status]);
  return status === "superseded" ? [chip] : [chip, button("undo", "Undo", "undo")];
}
