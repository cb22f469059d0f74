// Questions in dialogs: whether to do something, and which term.

import { api } from "./api.js";
import { $, el } from "./dom.js";
import { openDialog, shown } from "./notices.js";
import { foundBy } from "./tree.js";

/** Terms that are offered to choose from. */
const OFFERED = 50;
/** Somebody who types so slowly waits for an answer. */
const TYPING_MS = 200;

/** Shows a dialog until it is closed; answers whether by its form. */
function answered(id, form) {
  return new Promise((resolve) => {
    let agreed = false;
    $(form).onsubmit = () => {
      agreed = true;
    };
    $(id).onclose = () => resolve(agreed);
    openDialog(id);
  });
}

/** Asks whether to do something that is hard to take back. */
export function confirmed({ title, text, button }) {
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = button;
  return answered("confirm", "confirm-form");
}

/** Asks for a term, which is searched for; `button(term)` names what is done then. Answers null if there is none. */
export async function chosenTerm({ title, text, button, without }) {
  $("choose-title").textContent = title;
  $("choose-text").textContent = text;
  $("choose-words").value = "";
  let found = [];
  let pausing = null;
  let asking = null;
  const chosen = () => found.find(({ id }) => $("choose-terms").querySelector(`input[value="${id}"]`)?.checked) ?? null;
  const update = () => {
    const term = chosen();
    $("choose-yes").disabled = !term;
    $("choose-yes").textContent = term ? button(term) : "Choose a term";
  };
  const look = async () => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    const words = $("choose-words").value.trim();
    const part = await shown(api.terms({ ...(words ? { q: words } : { parent: "top" }), limit: OFFERED }, signal));
    if (!part || signal.aborted) return;
    found = part.terms.filter(({ id }) => id !== without);
    $("choose-terms").replaceChildren(
      ...found.map(({ id, name, path, labels }, place) => {
        const word = words ? foundBy({ name, labels }, words) : null;
        return el(
          "label",
          { class: "choice" },
          el("input", { type: "radio", name: "term", value: id, checked: words !== "" && place === 0 }),
          el("span", {}, name, word ? el("i", {}, ` ${word}`) : null, path === name ? null : el("small", {}, path)),
        );
      }),
    );
    if (!found.length) $("choose-terms").append(el("p", { class: "note" }, "No term begins so."));
    if (part.next) $("choose-terms").append(el("p", { class: "note" }, "There are more: type more of the word."));
    update();
  };
  $("choose-words").oninput = () => {
    // What was found for other words is not taken by Enter.
    found = [];
    update();
    clearTimeout(pausing);
    pausing = setTimeout(look, TYPING_MS);
  };
  $("choose-form").onchange = update;
  $("choose-terms").replaceChildren();
  update();
  look();
  const agreed = await answered("choose", "choose-form");
  clearTimeout(pausing);
  asking?.abort();
  return agreed ? chosen() : null;
}

for (const [button, dialog] of [["confirm-no", "confirm"], ["choose-no", "choose"], ["import-no", "import"]]) {
  $(button).onclick = () => $(dialog).close();
}
