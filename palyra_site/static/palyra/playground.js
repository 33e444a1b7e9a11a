// The playground: explains a call, sends it and shows its answer as it comes, and stops it.
"use strict";

(() => {
  const find = (id) => document.getElementById(`playground-${id}`);
  const form = document.getElementById("playground_form");
  if (!form) {
    return;
  }
  const send = find("send");
  const stop = find("stop");
  const answer = find("answer");
  const state = find("state");
  const text = find("text");
  const explained = find("explained");
  const approvals = form.elements.approvals;
  const SETTLING = [0, 150, 300, 600, 1200, 2400, 4800];
  let sending = null;
  let asked = 0;

  const post = (address, options = {}) =>
    fetch(address, { method: "POST", body: new FormData(form), credentials: "same-origin", ...options });

  const card = (title, message) => {
    const section = document.createElement("section");
    const heading = document.createElement("h2");
    const paragraph = document.createElement("p");
    section.className = "palyra-card";
    heading.tabIndex = -1;
    heading.textContent = title;
    paragraph.textContent = message;
    section.append(heading, paragraph);
    return section;
  };

  // A part of the page that the server writes.
  const showPart = async (address, button) => {
    if (!form.reportValidity()) {
      return;
    }
    const mine = ++asked;
    button.setAttribute("aria-busy", "true");
    try {
      const response = await post(address);
      const problem = trouble(response);
      const html = problem ? "" : await response.text();
      if (mine !== asked) {
        return;
      }
      if (problem) {
        explained.replaceChildren(card("That did not work", problem));
      } else {
        explained.innerHTML = html;
      }
    } catch {
      explained.replaceChildren(card("The server cannot be reached", "Try again in a moment."));
    } finally {
      button.removeAttribute("aria-busy");
    }
    const heading = explained.querySelector("h2");
    heading?.focus({ preventScroll: true });
    heading?.scrollIntoView({ block: "nearest" });
  };

  const say = (words, tone) => {
    state.textContent = words;
    state.className = `palyra-badge palyra-badge-${tone}`;
  };

  const begin = () => {
    answer.hidden = false;
    answer.classList.add("playground-busy");
    text.textContent = "";
    for (const id of ["thinking", "note", "refusal", "because", "copy"]) {
      find(id).hidden = true;
    }
    find("thinking").querySelector("pre").textContent = "";
    find("settled").replaceChildren();
    send.hidden = true;
    stop.hidden = false;
    stop.focus();
    say("Waiting for the first piece", "busy");
    answer.scrollIntoView({ block: "nearest" });
  };

  const end = () => {
    answer.classList.remove("playground-busy");
    find("copy").hidden = text.textContent === "";
    const hadFocus = document.activeElement === stop;
    stop.hidden = true;
    send.hidden = false;
    if (hadFocus) {
      send.focus({ preventScroll: true });
    }
    sending = null;
  };

  const refuse = ({ title, message, links = [], approvals: given = [] }) => {
    const box = find("refusal");
    const heading = document.createElement("h3");
    const paragraph = document.createElement("p");
    const list = document.createElement("p");
    heading.textContent = title;
    paragraph.textContent = message;
    list.className = "playground-links";
    for (const link of links) {
      const anchor = document.createElement("a");
      anchor.className = "palyra-link";
      anchor.href = link.address;
      anchor.textContent = link.label;
      list.append(anchor);
    }
    box.replaceChildren(heading, paragraph, ...(links.length ? [list] : []));
    box.hidden = false;
    // Once they are given, the same call is let through with them.
    if (given.length) {
      approvals.value = given.join(",");
    }
    say(text.textContent ? "Broke off" : "Not answered", "bad");
  };

  const because = (sentences) => {
    const list = find("because").querySelector("ul");
    list.replaceChildren(
      ...sentences.map((sentence) => {
        const item = document.createElement("li");
        item.textContent = sentence;
        return item;
      }),
    );
    find("because").hidden = sentences.length === 0;
  };

  // What the ledger says once it has the call's end; until then it answers 202.
  const showSettled = async (call, mine) => {
    const isOver = () => sending !== null && sending !== mine;
    const address = form.dataset.settled.replace("00000000-0000-0000-0000-000000000000", call);
    for (const wait of SETTLING) {
      await new Promise((done) => { setTimeout(done, wait); });
      const response = isOver() ? null : await fetch(address, { credentials: "same-origin" }).catch(() => null);
      const html = response?.status === 200 && !response.redirected ? await response.text() : "";
      if (isOver()) {
        return;
      }
      if (html) {
        find("settled").innerHTML = html;
        return;
      }
    }
    find("settled").replaceChildren(
      document.createTextNode(`The ledger has not settled call ${call} yet; it is shown there once it has.`),
    );
  };

  const handlers = (seen) => ({
    accepted: ({ call }) => { seen.call = call; },
    begun: ({ model, cached, because: sentences }) => {
      say(cached ? `${model}, from what was kept` : `${model} is answering`, "busy");
      because(sentences);
    },
    thinking: ({ text: piece }) => {
      find("thinking").hidden = false;
      find("thinking").querySelector("pre").append(piece);
    },
    text: ({ text: piece }) => {
      const follows = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
      text.append(piece);
      if (follows) {
        text.scrollTop = text.scrollHeight;
      }
    },
    ended: ({ note }) => {
      seen.ended = true;
      approvals.value = "";
      find("note").hidden = !note;
      find("note").textContent = note;
      say("Answered", "good");
    },
    refused: (refusal) => {
      seen.ended = true;
      // Without a row in the ledger, there is no end of it to wait for.
      if (!refusal.entered) {
        seen.call = "";
      }
      refuse(refusal);
    },
  });

  const take = (block, handle) => {
    let name = "";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) {
        name = line.slice(7);
      } else if (line.startsWith("data: ")) {
        data = line.slice(6);
      }
    }
    if (name && handle[name]) {
      handle[name](JSON.parse(data));
    }
  };

  const read = async (body, handle) => {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return;
      }
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        take(block, handle);
      }
    }
  };

  const sendNow = async () => {
    if (sending || !form.reportValidity()) {
      return;
    }
    const mine = new AbortController();
    const seen = { call: "", ended: false };
    sending = mine;
    begin();
    try {
      const response = await post(form.dataset.send, { signal: mine.signal });
      const problem = trouble(response);
      if (problem) {
        seen.ended = true;
        refuse({ title: "It was not sent", message: problem });
      } else {
        await read(response.body, handlers(seen));
      }
      if (!seen.ended) {
        refuse({ title: "The server broke the answer off", message: "What was generated until then is charged." });
      }
    } catch {
      if (mine.signal.aborted) {
        say("Stopped", "quiet");
      } else {
        refuse({ title: "The connection broke", message: "What was generated until then is charged." });
      }
    } finally {
      end();
    }
    if (seen.call) {
      await showSettled(seen.call, mine);
    }
  };

  // What is filled in outlives a look at another page, in this tab and for this person only: the
  // page itself may not be kept by the browser. Signing out forgets it: signed-out.js.
  const KEPT = ["system_prompt", "prompt", "team", "model", "task_class", "routing_mode", "max_output_tokens", "approvals"];
  const keep = () => {
    const filled = Object.fromEntries(KEPT.map((name) => [name, form.elements[name].value]));
    try {
      sessionStorage.setItem(form.dataset.kept, JSON.stringify(filled));
    } catch {
      // A browser that keeps nothing, or not so much, is no reason to stop.
    }
  };
  const restore = () => {
    let filled = {};
    try {
      filled = JSON.parse(sessionStorage.getItem(form.dataset.kept)) || {};
    } catch {
      return;
    }
    const given = new URLSearchParams(window.location.search);
    for (const name of KEPT) {
      const field = form.elements[name];
      const offered = !field.options || [...field.options].some((one) => one.value === filled[name]);
      if (typeof filled[name] === "string" && offered && !given.has(name)) {
        field.value = filled[name];
      }
    }
  };
  restore();
  window.addEventListener("pagehide", keep);

  form.addEventListener("submit", (event) => {
    // What makes it a schedule is a page of its own.
    if (event.submitter?.id !== "playground-schedule") {
      event.preventDefault();
      showPart(form.dataset.explain, find("explain"));
    }
  });
  find("code").addEventListener("click", () => showPart(form.dataset.code, find("code")));
  form.addEventListener("input", () => { approvals.value = ""; });
  if (send) {
    send.addEventListener("click", sendNow);
    stop.addEventListener("click", () => sending?.abort());
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        sendNow();
      }
    });
  }
})();
