// The suggestions of the selected picture, and the decisions on them.

import { api } from "./api.js";
import { $, el, icon, KIND_NAMES, KINDS, percent } from "./dom.js";
import { announce, toast } from "./notices.js";
import { carried, offered } from "./carried.js";
import { adopted } from "./proposals.js";
import { isAsked, passes, rowsOf, tally } from "./rows.js";

const DONE = { accept: "accepted", reject: "rejected", undo: "pending" };
const STATUS_NAMES = { pending: "to review", accepted: "accepted", rejected: "rejected", superseded: "superseded" };
/** How far a job is is asked so often. */
const JOB_EVERY_MS = 200;
/** So many proposed terms are shown without being asked for. */
const FEW = 5;

export class Panel {
  /**
   * `onChanged(picture, before, after)` hears of every decision with the numbers of suggestions by status, `onView()` of every
   * change of selection or rows, `onFinished()` when nothing of the picture waits any more, `onAdopted()` of a new term.
   */
  constructor({ onChanged, onView, onFinished, onAdopted }) {
    this.root = $("panel");
    this.onChanged = onChanged;
    this.onView = onView;
    this.onFinished = onFinished;
    this.onAdopted = onAdopted;
    /** Whether proposed terms are shown; null where their number decides. */
    this.unfolded = null;
    this.filter = { kind: "", status: "", min: 0 };
    this.last = Promise.resolve();
    this.forget();
    this.root.addEventListener("click", (event) => this.onClick(event));
    this.root.addEventListener("pointerover", (event) => this.hover(event.target.closest("[data-id]")?.dataset.id ?? null));
    this.root.addEventListener("pointerleave", () => this.hover(null));
  }

  clear() {
    this.forget();
    this.render();
  }

  forget() {
    this.picture = null;
    /** The suggestion that is selected, and whether it alone is, or its row. */
    this.selected = null;
    this.alone = false;
    this.hovered = null;
    /** Decided while the picture is open: they stay in view whatever the filter says, so that they can be undone. */
    this.touched = new Set();
    /** Rows whose members are shown, by kind and value. */
    this.expanded = new Set();
  }

  /** Shows a picture: `{ asset, suggestions, counted }`, the last being the `tally` of what the server said. */
  show(picture, wanted = null) {
    this.forget();
    this.picture = picture;
    this.touched = new Set(wanted ? [wanted] : []);
    this.selected = picture.suggestions.find(({ id }) => id === wanted)?.id ?? this.first();
    this.render();
  }

  setFilter(filter) {
    this.filter = filter;
    if (!this.visible().some(({ id }) => id === this.selected)) this.selectRow(this.first());
    this.render();
  }

  /** The suggestions that pass the filter. */
  visible() {
    const suggestions = this.picture?.suggestions ?? [];
    return suggestions.filter((row) => this.touched.has(row.id) || passes(row, this.filter));
  }

  rows() {
    return rowsOf(this.visible());
  }

  /** How many suggestions of a picture wait here, under the filter. */
  waiting(suggestions) {
    const { status, ...filter } = this.filter;
    if (status && status !== "pending") return 0;
    return suggestions.filter((row) => passes(row, { ...filter, status: "pending" }) && isAsked(row, filter)).length;
  }

  /** Where to begin: the first that waits. */
  first() {
    const rows = this.rows();
    const asked = rows.filter((row) => isAsked(row, this.filter));
    return (asked.find(({ status }) => status === "pending") ?? asked[0] ?? this.reachable(rows)[0])?.members[0].id ?? null;
  }

  isExpanded(row) {
    return row.members.length > 1 && this.expanded.has(`${row.kind} ${row.value}`);
  }

  /** What one can go to with the keyboard: rows, and the members of those that are expanded. */
  stops() {
    return this.reachable(this.rows()).flatMap((row) => [
      { row, members: row.members, alone: false },
      ...(this.isExpanded(row) ? row.members.map((member) => ({ row, members: [member], alone: true })) : []),
    ]);
  }

  /** Rows without those of a group that is folded. */
  reachable(rows) {
    return this.showsProposals(rows) ? rows : rows.filter(({ kind }) => kind !== "proposal");
  }

  showsProposals(rows) {
    if (this.filter.kind === "proposal") return true;
    return this.unfolded ?? rows.filter(({ kind }) => kind === "proposal").length <= FEW;
  }

  current() {
    return this.stops().find((stop) => this.isAt(stop)) ?? null;
  }

  isAt({ members, alone }) {
    return alone === this.alone && members.some(({ id }) => id === this.selected);
  }

  /** The ids that are selected: all of a row, or one. */
  chosen() {
    return new Set(this.current()?.members.map(({ id }) => id));
  }

  /** Selects a suggestion, in its row where that is folded. */
  select(id) {
    const row = this.rows().find(({ members }) => members.some((member) => member.id === id));
    this.alone = Boolean(row && this.isExpanded(row));
    this.selected = id;
    this.render();
  }

  /** Selects a suggestion that has to stay in view whatever the filter says. */
  touch(id) {
    this.touched.add(id);
    this.select(id);
  }

  selectRow(id) {
    this.alone = false;
    this.selected = id;
  }

  hover(id) {
    if (this.hovered === id) return;
    this.hovered = id;
    this.onView();
    for (const row of this.root.querySelectorAll(".row")) row.classList.toggle("hovered", row.dataset.id === id);
  }

  /** Selects the next or previous row; answers false at the end. */
  step(by) {
    const stops = this.stops();
    const next = stops[stops.findIndex((stop) => this.isAt(stop)) + by];
    if (!next) return false;
    this.alone = next.alone;
    this.selected = next.members[0].id;
    this.render();
    return true;
  }

  /** Shows the members of the selected row, or hides them. */
  toggle(row = this.current()?.row) {
    if (!row || row.members.length < 2) return;
    const key = `${row.kind} ${row.value}`;
    if (!this.expanded.delete(key)) this.expanded.add(key);
    this.selectRow(row.members[0].id);
    this.render();
  }

  /** Accepts all that was carried over from the version before an edit. */
  acceptCarried() {
    const { picture } = this;
    const members = carried(picture?.suggestions ?? []);
    if (!members.length) return toast("Nothing was carried over to this picture.", "info");
    for (const suggestion of members) this.shownAs(suggestion, DONE.accept);
    this.enqueue(() => this.send("accept", picture, members, members));
    return this.advance(0);
  }

  onClick(event) {
    if (event.target.closest("#accept-carried")) {
      this.acceptCarried();
      return;
    }
    if (event.target.closest("#fold-proposals")) {
      this.unfolded = !this.showsProposals(this.rows());
      if (!this.current()) this.selectRow(this.first());
      this.render();
      document.getElementById("fold-proposals")?.focus();
      return;
    }
    const node = event.target.closest(".row");
    if (!node) return;
    this.alone = node.classList.contains("member");
    this.selected = node.dataset.id;
    const action = event.target.closest("button")?.dataset.action;
    if (action === "toggle") this.toggle();
    else if (action) this.decide(action);
    else this.render();
  }

  /** Decides about the selected row or suggestion, and goes on to the next that waits. */
  decide(action) {
    const stop = this.current();
    if (!stop) return undefined;
    const { picture } = this;
    const { row, members } = stop;
    if (action !== "undo" && row.status !== "pending") {
      toast(`“${row.value}” is ${STATUS_NAMES[row.status]}; undo that first.`, "info");
      return undefined;
    }
    const from = this.stops().findIndex((other) => this.isAt(other));
    const changed = action === "accept" && members.length === row.members.length ? [...members, ...row.covers] : members;
    for (const suggestion of changed) this.shownAs(suggestion, DONE[action]);
    const adopts = action === "accept" && row.kind === "proposal";
    this.enqueue(() => (adopts ? this.adopt(picture, members) : this.send(action, picture, members, changed)));
    if (action === "undo") this.render();
    else if (!isAsked(row, this.filter)) this.advanceAside(from);
    else return this.advance(from);
    return undefined;
  }

  /** Decisions are sent one after the other, in the order they were made. */
  enqueue(work) {
    this.last = this.last.then(work).catch((error) => {
      if (!("status" in error)) console.error(error);
      if (error.status !== 401) toast(error.message);
    });
    return this.last;
  }

  /** To the next that waits, after the place it had or before it; to another picture if there is none. */
  advance(from) {
    const stops = this.stops();
    const waits = ({ row, alone }) => row.status === "pending" && isAsked(row, this.filter) && (alone || !this.isExpanded(row));
    const next = stops.slice(from).find(waits) ?? stops.find(waits);
    if (next) {
      this.alone = next.alone;
      this.selected = next.members[0].id;
      this.render();
      return undefined;
    }
    this.render();
    return this.onFinished();
  }

  /** To the next proposed term, or else to what is asked about. */
  advanceAside(from) {
    const next = this.stops().slice(from).find(({ row }) => row.kind === "proposal" && row.status === "pending");
    this.selectRow(next?.members[0].id ?? this.first());
    this.render();
  }

  /** Makes a term of a proposed word, which then is a tag of the picture. */
  async adopt(picture, members) {
    try {
      for (const member of members) Object.assign(member, await adopted(member));
      announce(`${members[0].value}: in the vocabulary, and accepted`);
      this.onAdopted();
      await this.refresh(picture, members);
    } catch (error) {
      for (const suggestion of members) suggestion.status = suggestion.before ?? suggestion.status;
      if (error.code === "conflict") await this.conflict(picture, members[0], members);
      else this.settle(picture, members);
      if (error.code !== "conflict") throw error;
    }
  }

  /** Shows a suggestion as it will be once the server agrees. */
  shownAs(suggestion, status) {
    this.touched.add(suggestion.id);
    suggestion.before ??= suggestion.status;
    suggestion.status = status;
  }

  async send(action, picture, members, changed) {
    const ids = members.map(({ id }) => id);
    try {
      if (ids.length === 1 || action === "undo") {
        for (const id of ids) Object.assign(members.find((member) => member.id === id), await api.decide(id, action));
      } else {
        const job = await this.sendTogether(action, picture.asset.asset_id, members);
        if (job.skipped) toast(`${job.skipped} of ${job.total} “${members[0].value}” were decided otherwise meanwhile.`, "conflict");
      }
      announce(`${members[0].value}: ${STATUS_NAMES[DONE[action]]}`);
      // What else changed with it, the server knows best.
      if (changed.length > 1 || action === "undo") await this.refresh(picture, changed);
      else this.settle(picture, changed);
    } catch (error) {
      for (const suggestion of changed) suggestion.status = suggestion.before ?? suggestion.status;
      if (error.status === 409) await this.conflict(picture, members[0], changed);
      else this.settle(picture, changed);
      if (error.status !== 409) throw error;
    }
  }

  /** One job for all, which undo takes back at once. The value names it. */
  async sendTogether(action, asset, members) {
    const suggestions = members.map(({ id }) => id);
    const common = (key) => (members.every((member) => member[key] === members[0][key]) ? members[0][key] : undefined);
    let job = await api.decideAll({ action, asset, suggestions, kind: common("kind"), value: common("value"), min_confidence: 0 });
    while (job.state === "collecting" || job.state === "deciding") {
      await new Promise((resolve) => setTimeout(resolve, JOB_EVERY_MS));
      job = await api.job(job.id);
    }
    return job;
  }

  /** Somebody else was first: says who, and shows the row as it is. */
  async conflict(picture, suggestion, changed) {
    const [fresh, log] = await Promise.all([api.suggestion(suggestion.id), api.reviews(suggestion.id)]);
    const first = log.at(-1);
    const who = first ? ` by ${first.reviewer} (${first.client}, ${new Date(first.at).toLocaleTimeString()})` : "";
    toast(`“${fresh.value}” is already ${STATUS_NAMES[fresh.status]}${who}. Your decision was not applied.`, "conflict");
    await this.refresh(picture, changed);
  }

  /** Reads again how a picture's suggestions stand. What is on its way to the server stays as it is shown. */
  async refresh(picture, changed) {
    const fresh = new Map((await api.suggestions(picture.asset.asset_id)).map((suggestion) => [suggestion.id, suggestion]));
    for (const suggestion of picture.suggestions) {
      const { status, ...said } = fresh.get(suggestion.id) ?? suggestion;
      // What it says may have another name by now.
      Object.assign(suggestion, said);
      if (suggestion.before && !changed.includes(suggestion)) suggestion.before = status;
      else suggestion.status = status;
    }
    this.settle(picture, changed);
  }

  settle(picture, changed) {
    for (const suggestion of changed) delete suggestion.before;
    const before = picture.counted;
    picture.counted = tally(picture.suggestions);
    this.onChanged(picture, before, picture.counted);
    if (picture === this.picture) this.render();
  }

  render() {
    const rows = this.rows();
    const groups = KINDS.map((kind) => [kind, rows.filter((row) => row.kind === kind)]).filter(([, rows]) => rows.length);
    const focused = this.root.contains(document.activeElement);
    this.root.replaceChildren(
      ...offered(carried(this.picture?.suggestions ?? [])),
      ...groups.map(([kind, rows]) => {
        const members = rows.reduce((sum, row) => sum + row.members.length, 0);
        const name = [KIND_NAMES[kind][members === 1 ? 0 : 1], el("span", { class: "tally" }, String(members))];
        const folds = kind === "proposal" && this.filter.kind !== "proposal";
        const isOpen = !folds || this.showsProposals(rows);
        return el(
          "section",
          { class: `group ${kind}` },
          el("h2", {}, ...(folds ? [el("button", { type: "button", id: "fold-proposals", ariaExpanded: String(isOpen) }, icon("next"), ...name)] : name)),
          isOpen ? el("ul", {}, ...rows.flatMap((row) => this.nodes(row))) : null,
        );
      }),
    );
    if (!groups.length && this.picture) this.root.append(el("p", { class: "empty" }, this.nothing()));
    const current = this.root.querySelector(".row.selected");
    current?.scrollIntoView({ block: "nearest" });
    if (focused) current?.focus({ preventScroll: true });
    this.onView();
  }

  nothing() {
    if (!this.picture.suggestions.length) return "Nothing has been suggested for this picture.";
    return "No suggestion of this picture passes the filters.";
  }

  nodes(row) {
    const isOpen = this.isExpanded(row);
    const head = this.node(row, row.members, { isOpen });
    return isOpen ? [head, ...row.members.map((member) => this.node(row, [member], { alone: true }))] : [head];
  }

  /** A row, or one member of it. */
  node(row, members, { alone = false, isOpen = false }) {
    const { kind, value, status, covers } = row;
    const [{ id, confidence, model, analyzer, term_path: path }] = members;
    const origin = analyzer === "predecessor" ? "from the version before" : model;
    const many = members.length > 1;
    const selected = this.isAt({ members, alone });
    const bar = el("span", { class: "bar" }, el("i"));
    bar.firstChild.style.width = `${confidence * 100}%`;
    const times = many
      ? el(
          "button",
          {
            type: "button",
            class: "times",
            title: isOpen ? "Fold (o)" : "Show each (o)",
            ariaExpanded: String(isOpen),
            ariaLabel: `${value}, ${members.length} times`,
            data: { action: "toggle" },
          },
          `× ${members.length}`,
        )
      : null;
    const least = members.at(-1).confidence;
    const sure = many && percent(least) !== percent(confidence) ? `${percent(least).replace(" %", "")}–${percent(confidence)}` : percent(confidence);
    const item = el(
      "li",
      { class: `row ${kind} ${status}${alone ? " member" : ""}${selected ? " selected" : ""}`, tabIndex: selected ? 0 : -1, data: { id } },
      el("span", { class: "head" }, el("span", { class: "value", title: path }, value), times),
      el("span", { class: "actions" }, ...buttons(kind, status, value)),
      el("span", { class: "facts" }, bar, el("b", {}, sure), el("span", { class: "model", title: model }, origin)),
      !alone && covers.length ? el("span", { class: "covers", title: "Accepted with it" }, `and ${names(covers)}`) : null,
    );
    if (selected) item.setAttribute("aria-current", "true");
    if (members.some(({ before }) => before)) item.setAttribute("aria-busy", "true");
    return item;
  }
}

const names = (suggestions) => [...new Set(suggestions.map(({ value }) => value))].join(", ");

function buttons(kind, status, value) {
  const button = (action, name, ...inside) =>
    el("button", { type: "button", class: action, title: name, ariaLabel: `${name}: ${value}`, data: { action } }, ...inside);
  const reject = () => button("reject", "Reject (r)", icon("cross"));
  if (status === "pending" && kind === "proposal") return [button("accept", "Add to vocabulary (a)", "Add to vocabulary"), reject()];
  if (status === "pending") return [button("accept", "Accept (a)", icon("check")), reject()];
  const chip = el("span", { class: "chip" }, STATUS_NAMES[status]);
  return status === "superseded" ? [chip] : [chip, button("undo", "Undo", "undo")];
}
