// Forms marked with `data-dialog` are answered in a dialog over the page; see admin/dialog.html and
// providers/admin/dialogs.py. Without this script they lead to pages.
"use strict";

(() => {
  const dialog = document.getElementById("palyra-dialog");
  if (!dialog?.showModal) {
    return;
  }
  const title = document.getElementById("palyra-dialog-title");
  const busy = dialog.querySelector(".palyra-dialog-busy");
  const doing = dialog.querySelector("[data-dialog-busy]");
  const content = dialog.querySelector("[data-dialog-content]");
  const RETURN = "palyra.dialog.return";
  let opener = null;
  let asking = null;
  let isChanged = false;

  const open = (form, submitter) => {
    opener = submitter || form.querySelector("button");
    isChanged = false;
    content.replaceChildren();
    dialog.showModal();
  };

  const begin = (form) => {
    title.textContent = content.hasChildNodes() ? title.textContent : form.dataset.dialog;
    title.focus({ preventScroll: true });
    content.inert = true;
    busy.hidden = false;
    doing.textContent = form.dataset.dialogBusy;
  };

  // Whatever was filled in stays, so that it can be sent again.
  const complain = (message) => {
    const note = document.createElement("p");
    note.className = "palyra-note palyra-note-bad";
    note.tabIndex = -1;
    note.dataset.dialogFirst = "";
    note.textContent = message;
    content.querySelector("[data-dialog-trouble]")?.remove();
    note.dataset.dialogTrouble = "";
    content.prepend(note);
  };

  const show = (html) => {
    content.innerHTML = html;
    const said = content.querySelector("[data-dialog-title]");
    title.textContent = said?.dataset.dialogTitle || title.textContent;
    isChanged ||= content.querySelector("[data-dialog-changed]") !== null;
    dialog.scrollTop = 0;
  };

  const end = () => {
    asking = null;
    content.inert = false;
    busy.hidden = true;
    doing.textContent = "";
    (content.querySelector("[data-dialog-first]") || title).focus();
  };

  const ask = async (form, submitter) => {
    const body = new FormData(form, submitter);
    const mine = new AbortController();
    const wasChanged = isChanged && dialog.open;
    if (!dialog.open) {
      open(form, submitter);
    }
    asking?.abort();
    asking = mine;
    begin(form);
    // Until its answer is here, nobody knows what came of it.
    isChanged ||= "dialogChanges" in form.dataset;
    try {
      const response = await fetch(form.getAttribute("action"), {
        method: "POST",
        body,
        headers: { "X-Palyra-Dialog": "yes" },
        credentials: "same-origin",
        signal: mine.signal,
      });
      const problem = trouble(response);
      const html = problem ? "" : await response.text();
      if (problem) {
        complain(problem);
      } else {
        isChanged = wasChanged;
        show(html);
      }
    } catch {
      if (mine.signal.aborted) {
        return;
      }
      complain("The server cannot be reached. Try again in a moment.");
    }
    end();
  };

  // What the page says of what was looked at in the dialog is asked for anew.
  const refresh = async () => {
    const response = await fetch(window.location.href, { credentials: "same-origin" }).catch(() => null);
    if (!response?.ok || response.redirected) {
      return;
    }
    const anew = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of document.querySelectorAll("[data-refreshed]")) {
      const other = anew.getElementById(part.id);
      if (other) {
        part.replaceWith(other);
      }
    }
  };

  dialog.addEventListener("close", () => {
    asking?.abort();
    asking = null;
    content.replaceChildren();
    opener?.focus();
    if (!isChanged) {
      refresh();
      return;
    }
    try {
      sessionStorage.setItem(RETURN, opener.form.getAttribute("action"));
    } catch {
      // Then the page begins at its top.
    }
    window.location.reload();
  });

  document.addEventListener("submit", (event) => {
    if (event.target.matches("form[data-dialog]")) {
      event.preventDefault();
      ask(event.target, event.submitter);
    }
  });

  dialog.addEventListener("click", (event) => {
    if (event.target.closest("[data-dialog-close]")) {
      dialog.close();
    }
  });

  // A long list is narrowed as one types; what is picked stays picked.
  dialog.addEventListener("input", (event) => {
    if (!event.target.matches("[data-dialog-filter]")) {
      return;
    }
    const wanted = event.target.value.trim().toLowerCase();
    for (const row of content.querySelectorAll("tbody tr")) {
      const isPicked = row.querySelector("input:checked") !== null;
      row.hidden = !isPicked && !row.textContent.toLowerCase().includes(wanted);
    }
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("[data-dialog-filter]")) {
      event.preventDefault();
    }
  });

  let returned = null;
  try {
    returned = sessionStorage.getItem(RETURN);
    sessionStorage.removeItem(RETURN);
  } catch {
    return;
  }
  for (const form of document.querySelectorAll("form[data-dialog]")) {
    if (form.getAttribute("action") === returned) {
      form.querySelector("button").focus();
    }
  }
})();
