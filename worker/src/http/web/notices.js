// Toasts, announcements and dialogs.

import { $, el } from "./dom.js";

const LIFE_MS = 7000;
const MAX_TOASTS = 4;

/** Says something that people should see. `kind` is `error`, `conflict` or `info`. */
export function toast(message, kind = "error") {
  for (const old of $("toasts").children) if (old.firstElementChild.textContent === message) old.remove();
  const node = el("div", { class: `toast ${kind}` }, el("span", {}, message));
  const close = () => node.remove();
  node.append(el("button", { type: "button", class: "quiet small", ariaLabel: "Dismiss", onclick: close }, "×"));
  $("toasts").append(node);
  while ($("toasts").children.length > MAX_TOASTS) $("toasts").firstElementChild.remove();
  setTimeout(close, LIFE_MS);
}

/** Says something to those who do not see it. */
export function announce(message) {
  $("announce").textContent = message;
}

/** Runs something and shows what goes wrong. A 401 shows the sign-in form instead. */
export async function shown(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401) return undefined;
    toast(error.message);
    if (!("status" in error)) throw error;
    return undefined;
  }
}

/** Whether a dialog has the keyboard. */
export const dialogOpen = () => document.querySelector("dialog[open]") !== null;

export function openDialog(id) {
  if (!$(id).open) $(id).showModal();
}
