// Whoever has signed out leaves nothing in this tab of what they filled in on the playground. An
// address to go back to means a session that ran out: whoever signs in again goes on with it, and
// nobody else is shown it.
"use strict";

(() => {
  if (new URLSearchParams(window.location.search).has("next")) {
    return;
  }
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith("palyra.playground.")) {
      sessionStorage.removeItem(name);
    }
  }
})();
