// A vocabulary file: says what it would change, then asks.

import { api } from "./api.js";
import { $, count, el, number } from "./dom.js";
import { openDialog, shown, toast } from "./notices.js";

const ENDINGS = { ttl: "turtle", rdf: "rdfxml", xml: "rdfxml", owl: "rdfxml", txt: "keywords", csv: "csv", tsv: "csv", json: "json" };
const SIGNS = { add: "+", change: "~", remove: "−" };

/** Asks for a file, shows what it would change, and takes it. `onDone()` hears of a change. */
export class Importing {
  constructor({ onDone }) {
    this.onDone = onDone;
    this.file = null;
    $("import-file").onchange = () => {
      const [file] = $("import-file").files;
      $("import-file").value = "";
      if (file) this.open(file);
    };
    for (const id of ["import-format", "import-replace"]) $(id).onchange = () => this.preview();
    $("import-form").onsubmit = () => shown(this.run());
  }

  open(file) {
    this.file = file;
    const ending = file.name.split(".").at(-1).toLowerCase();
    $("import-name").textContent = file.name;
    $("import-format").value = ENDINGS[ending] ?? "";
    $("import-replace").checked = false;
    openDialog("import");
    this.preview();
  }

  query() {
    return { format: $("import-format").value, replace: $("import-replace").checked };
  }

  async preview() {
    const asked = (this.asked = {});
    this.seen = null;
    $("import-yes").disabled = true;
    $("import-yes").textContent = "Reading …";
    $("import-told").replaceChildren();
    let told;
    try {
      told = await api.importTerms(this.file, { ...this.query(), dry_run: true });
    } catch (error) {
      if (asked !== this.asked) return;
      if (error.status === 401) $("import").close();
      $("import-told").replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
      $("import-yes").textContent = "Cannot be imported";
      return;
    }
    if (asked !== this.asked) return;
    this.seen = told.revision;
    const { added, changed, removed } = told;
    const nothing = added + changed + removed === 0;
    $("import-told").replaceChildren(
      el("p", { class: "kinds" }, nothing ? "The file changes nothing." : summary(told)),
      names(told),
      remarks(told),
    );
    $("import-yes").disabled = nothing;
    $("import-yes").className = removed ? "primary danger" : "primary";
    $("import-yes").textContent = nothing ? "Nothing to import" : removed ? `Import, and remove ${number(removed)}` : "Import";
  }

  async run() {
    const done = await api.importTerms(this.file, { ...this.query(), revision: this.seen });
    toast(`Imported: ${summary(done)}.`, "info");
    await this.onDone();
  }
}

const summary = ({ added, changed, removed }) => `${number(added)} new, ${number(changed)} changed, ${number(removed)} removed`;

function names({ terms, added, changed, removed }) {
  const left = added + changed + removed - terms.length;
  const line = ({ action, name, was }) => el("li", { class: action }, `${SIGNS[action]} `, was ? `${was} → ${name}` : name);
  const more = left > 0 ? el("li", {}, `and ${count(left, "term", "terms")} more`) : null;
  return el("ul", { class: "changes" }, ...terms.map(line), more);
}

function remarks({ noted, noted_more: more }) {
  if (!noted.length) return "";
  const line = ({ line, text }) => el("li", {}, line ? `line ${line}: ${text}` : text);
  return el(
    "details",
    {},
    el("summary", {}, count(noted.length + more, "remark", "remarks")),
    el("ul", {}, ...noted.map(line), more ? el("li", {}, `and ${number(more)} more`) : null),
  );
}
