// Asks for the token, where docent has one.

import { api, signIn } from "./api.js";
import { $ } from "./dom.js";
import { openDialog } from "./notices.js";

/** `onSignedIn()` hears that the token was right. */
export function askForToken(onSignedIn) {
  signIn.needed = () => {
    if ($("login").open) return;
    $("login-error").hidden = true;
    openDialog("login");
    $("login-token").focus();
  };
  $("login").addEventListener("cancel", (event) => event.preventDefault());
  $("login-form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await api.signIn($("login-token").value);
    } catch (error) {
      $("login-error").textContent = error.status === 401 ? "That is not the token." : error.message;
      $("login-error").hidden = false;
      $("login-token").select();
      return;
    }
    $("login-token").value = "";
    $("login").close();
    onSignedIn();
  };
}
