// Decisions on many suggestions: says which and how many before, how far they are, and that they can be taken back.

import { api } from "./api.js";
import { $, count, el, KIND_NAMES, KINDS, number, percent } from "./dom.js";
import { openDialog, progress, shown, toast } from "./notices.js";

/** How far a job is is asked so often. */
const JOB_EVERY_MS = 400;
/** Pictures that a request may name. */
const NAMED = 1000;

const WORDS = {
  accept: { now: "Accept", doing: "Accepting", done: "accepted" },
  reject: { now: "Reject", doing: "Rejecting", done: "rejected" },
  revert: { doing: "Taking back" },
};

export class Bulk {
  /**
   * `scopes()` answers `{ filter, chosen, shown, found }`: the page's filter, the pictures that are chosen, the one that is
   * shown, and those that were searched, or null where the list holds everything that passes. `onDone()` hears of the end.
   */
  constructor({ scopes, before, onDone, undo }) {
    Object.assign(this, { scopes, before, onDone, undo });
    $("accept-all").onclick = () => shown(this.ask("accept"));
    $("reject-all").onclick = () => shown(this.ask("reject"));
    $("bulk-cancel").onclick = () => $("bulk-dialog").close();
  }

  /** The choices of the dialog, each with the body of its request. */
  choices() {
    const { filter, chosen, shown: asset, found } = this.scopes();
    const body = { kind: filter.kind || undefined, min_confidence: filter.min, viewable: true };
    const choices = [];
    const named = (name, assets, of) => {
      const first = assets.length > NAMED ? `the first ${number(NAMED)} of ` : "";
      choices.push([name, first + of, { ...body, assets: assets.slice(0, NAMED) }]);
    };
    if (chosen.length) named("chosen", chosen, count(chosen.length, "chosen picture", "chosen pictures"));
    if (found?.length) named("listed", found, count(found.length, "picture that was found", "pictures that were found"));
    else if (!found) choices.push(["listed", "all pictures of the list", body]);
    if (asset) choices.push(["asset", "this picture", { ...body, asset }]);
    return choices;
  }

  async ask(action) {
    const { filter } = this.scopes();
    if (action === "accept" && filter.kind === "proposal") return toast("Proposed terms are added one by one.", "info");
    const words = WORDS[action];
    const what = filter.kind ? KIND_NAMES[filter.kind][1].toLowerCase() : "all suggestions";
    const sure = filter.min > 0 ? ` with a confidence of at least ${percent(filter.min)}` : "";
    $("bulk-title").textContent = `${words.now} all`;
    $("bulk-what").textContent = `${words.now} ${what} that wait for review${sure}.`;
    const confirm = $("bulk-confirm");
    confirm.className = action === "reject" ? "primary danger" : "primary";
    confirm.disabled = true;
    confirm.textContent = "Counting …";
    const choices = this.choices();
    $("bulk-choices").replaceChildren(
      ...choices.map(([name, text], place) =>
        el(
          "label",
          { class: "choice" },
          el("input", { type: "radio", name: "scope", value: name, checked: place === 0 }),
          el("span", {}, text),
          el("output", { data: { scope: name } }),
        ),
      ),
    );
    openDialog("bulk-dialog");
    await this.before();
    const counted = await shown(Promise.all(choices.map(([, , body]) => api.preview({ ...body, action }))));
    if (!counted) return $("bulk-dialog").close();
    choices.forEach(([name], place) => (document.querySelector(`#bulk-choices [data-scope=${name}]`).textContent = atLeast(counted[place])));
    const chosen = () => choices.findIndex(([name]) => document.querySelector(`#bulk-choices input[value=${name}]`).checked);
    const update = () => {
      const preview = counted[chosen()];
      const nothing = preview.count === 0 && !preview.more;
      $("bulk-kinds").textContent = nothing ? "Nothing waits there." : summary(preview);
      confirm.disabled = nothing;
      confirm.textContent = nothing ? `Nothing to ${action}` : `${words.now} ${atLeast(preview)}`;
    };
    $("bulk-form").onchange = update;
    update();
    $("bulk-form").onsubmit = () => {
      const place = chosen();
      shown(this.start({ ...choices[place][2], action, as_of: counted[place].as_of }));
    };
    return undefined;
  }

  async start(body) {
    const job = await this.follow(await api.decideAll(body));
    const left = job.skipped ? ` ${count(job.skipped, "was", "were")} decided otherwise meanwhile.` : "";
    const back = { name: "Undo", run: () => this.undo() };
    toast(`${count(job.done, "suggestion", "suggestions")} ${WORDS[body.action].done}.${left}`, "info", job.done ? back : null);
    await this.onDone();
  }

  /** Says how far a job is until it is done. */
  async follow(begun) {
    const bar = progress();
    let job = begun;
    while (job.state === "collecting" || job.state === "deciding") {
      const of = WORDS[job.action].doing;
      bar.say(
        job.state === "collecting"
          ? `${of}: ${count(job.total, "suggestion", "suggestions")} so far`
          : `${of}: ${number(job.done + job.skipped)} of ${count(job.total, "suggestion", "suggestions")}`,
      );
      await new Promise((resolve) => setTimeout(resolve, JOB_EVERY_MS));
      const { id } = job;
      // It goes on whether or not it can be looked at now.
      const still = job;
      job = await api.job(id).catch((error) => {
        if (error.status === 0 || error.status >= 500) return still;
        bar.close();
        throw error;
      });
    }
    bar.close();
    return job;
  }
}

/** A count, which may have ended before everything was counted. */
const atLeast = ({ count, more }) => (more ? `more than ${number(count)}` : number(count));

/** Kinds and numbers, and on how many pictures. */
function summary({ kinds, assets, more }) {
  const parts = KINDS.filter((kind) => kinds[kind]).map((kind) => {
    const [one, many] = KIND_NAMES[kind].map((name) => name.toLowerCase());
    return count(kinds[kind], one, many);
  });
  return `${parts.join(", ")} on ${more ? "more than " : ""}${count(assets, "picture", "pictures")}`;
}
