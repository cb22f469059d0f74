// What was accepted of a picture before it was edited: offered once more, and accepted at once.

import { count, el } from "./dom.js";

/** The suggestions of a picture that were carried over and wait. */
export const carried = (suggestions) =>
  suggestions.filter(({ analyzer, status }) => analyzer === "predecessor" && status === "pending");

/** Says what was carried over, with a button for all, if anything was. */
export function offered(suggestions) {
  if (!suggestions.length) return [];
  const accept = el(
    "button",
    { type: "button", id: "accept-carried", class: "quiet" },
    `Accept ${suggestions.length === 1 ? "it" : "them"}`,
    el("kbd", { ariaHidden: "true" }, "c"),
  );
  const said = `This picture took the place of an earlier version. ${count(suggestions.length, "decision was", "decisions were")} carried over.`;
  return [el("p", { class: "carried" }, said, " ", accept)];
}
