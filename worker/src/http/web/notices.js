// Toasts, announcements and dialogs.

import { $, el } from "./dom.js";

const LIFE_MS = 7000;
const MAX_TOASTS = 4;

/** Says something that people should see. `kind` is `error`, `conflict` or `info`; `action` is `{ name, run }`. */
export function toast(message, kind = "error", action = null) {
  for (const old of $("toasts").children) if (old.firstElementChild.textContent === message) old.remove();
  const node = el("div", { class: `toast ${kind}` }, el("span", {}, message));
  const close = () => node.remove();
  const run = () => {
    close();
    action.run();
  };
  if (action) node.append(el("button", { type: "button", class: "small", onclick: run }, action.name));
  node.append(el("button", { type: "button", class: "quiet small", ariaLabel: "Dismiss", onclick: close }, "×"));
  $("toasts").append(node);
  while ($("toasts").children.length > MAX_TOASTS) $("toasts").firstElementChild.remove();
  setTimeout(close, action ? 3 * LIFE_MS : LIFE_MS);
}

/** Says how far something is, until it is closed. */
export function progress() {
  const text = el("span", {});
  const node = el("div", { class: "toast info", data: { progress: "" } }, text);
  return {
    say: (message) => {
      text.textContent = message;
      if (!node.isConnected) $("toasts").append(node);
    },
    close: () => node.remove(),
  };
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
