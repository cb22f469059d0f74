// Undo comes from the review log: it says what it would take back, survives a reload, and takes back a bulk act in one step.

import { api } from "./api.js";
import { $, count, number } from "./dom.js";
import { announce, toast } from "./notices.js";

const PAST = { accepted: "Accepted", rejected: "Rejected", accept: "Accepted", reject: "Rejected" };

export class Undo {
  /** `onUndone(asset, suggestion)` hears what is pending again: one picture, or null where there may be many. */
  constructor({ panel, follow, onUndone }) {
    Object.assign(this, { panel, follow, onUndone });
    this.button = $("undo");
    this.asking = null;
    this.again = false;
    this.say({});
  }

  /** Asks again what would be undone; as often as needed, but never twice at once. */
  refresh() {
    this.again = this.asking !== null;
    this.asking ??= this.ask().finally(() => {
      this.asking = null;
      if (this.again) this.refresh();
    });
    return this.asking;
  }

  async ask() {
    const step = await api.lastStep().catch(() => null);
    if (step) this.say(step);
  }

  say(step) {
    const text = sentence(step);
    $("undo-what").textContent = text || "Nothing to undo";
    this.button.disabled = !text;
    this.button.title = text ? `Undo (u): ${text}` : "";
    this.button.ariaLabel = text ? `Undo: ${text}` : null;
  }

  /** Takes back the last step, after what is still on its way. */
  run() {
    return this.panel.enqueue(async () => {
      const step = await api.lastStep();
      if (step.job) await this.takeBack(step.job);
      else if (step.suggestion) {
        const { id, asset_id: asset } = step.suggestion;
        await api.decide(id, "undo");
        announce(`Taken back: ${sentence(step)}`);
        await this.onUndone(asset, id);
      } else toast("There is no decision to undo.", "info");
      this.refresh();
    });
  }

  async takeBack(job) {
    const back = await this.follow(await api.revertJob(job.id));
    const [suggestion] = job.filter.suggestions ?? [];
    if (!suggestion) toast(`${count(back.done, "suggestion is", "suggestions are")} pending again.`, "info");
    await this.onUndone(suggestion ? job.filter.asset : null, suggestion);
  }
}

/** What a step was, in words. */
function sentence({ suggestion, also = [], job }) {
  if (suggestion) {
    const more = also.length ? ` with ${also.join(", ")}` : "";
    return `${PAST[suggestion.status]} “${shorten(suggestion.value)}”${more}`;
  }
  if (job?.filter.suggestions && job.filter.value) return `${PAST[job.action]} “${shorten(job.filter.value)}” × ${number(job.done)}`;
  if (job) return `${PAST[job.action]} ${count(job.done, "suggestion", "suggestions")}`;
  return "";
}

const shorten = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);
