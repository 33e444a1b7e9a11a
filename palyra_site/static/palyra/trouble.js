// Why an answer of the server is not what was asked for, in words; empty if it is. For scripts that
// come after this one.
"use strict";

const trouble = (response) => {
  if (response.redirected) {
    return "You are signed out. Reload the page and sign in again.";
  }
  if (response.status === 403) {
    return "Your account may not do that, or the page is too old: reload it.";
  }
  return response.ok ? "" : `The server answered with status ${response.status}. Try again, or look at its log.`;
};
