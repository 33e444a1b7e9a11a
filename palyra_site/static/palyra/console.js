// What the console adds to Unfold's scripts: copying, and reach for keyboards.
"use strict";

(() => {
  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy).textContent;
    const label = button.querySelector("[data-copy-label]");
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = "Copied";
    } catch {
      // Without a secure context there is no clipboard: select it, ready for the keyboard.
      window.getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
      label.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { label.textContent = before; }, 2500);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      copy(button);
      return;
    }
    for (const open of document.querySelectorAll("details.palyra-action[open]")) {
      if (!open.contains(event.target)) {
        open.open = false;
      }
    }
  });

  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && document.querySelector("details.palyra-action[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });

  // Icons are drawn as ligatures of words, which must not be read out.
  const silenceIcons = (root) => {
    for (const icon of root.querySelectorAll(".material-symbols-outlined:not([aria-hidden])")) {
      icon.setAttribute("aria-hidden", "true");
    }
  };

  // Unfold's remaining clickable elements that are neither links nor buttons.
  const reachable = "a:not([href]):not([role]), span:not([role]), div.cursor-pointer:not([role])";
  const makeReachable = (root) => {
    for (const element of root.querySelectorAll(reachable)) {
      if (!element.hasAttribute("x-on:click")) {
        continue;
      }
      element.setAttribute("role", "button");
      element.tabIndex = 0;
      if (element.getAttribute("x-ref")?.startsWith("relatedWidgetWrapper")) {
        element.setAttribute("aria-label", "Add or change what can be chosen");
      }
      element.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          element.click();
        }
      });
    }
  };

  // Widgets that scripts of Django's and select2's build leave parts without a name.
  const nameWidgets = () => {
    for (const tip of document.querySelectorAll("span.help-tooltip[aria-label]")) {
      tip.setAttribute("role", "img");
    }
    for (const choice of document.querySelectorAll("select.select2-hidden-accessible")) {
      const label = choice.labels[0]?.textContent.replace("*", "").trim();
      const name = choice.getAttribute("aria-label") || label || "Choose";
      const shown = choice.nextElementSibling;
      for (const part of shown?.querySelectorAll("[role=combobox], [role=textbox]") || []) {
        part.removeAttribute("aria-labelledby");
        part.setAttribute("aria-label", name);
      }
    }
  };
  // Unfold redraws a chart's grid for light and dark; its words are to be read in both, too.
  const tintCharts = () => {
    const colour = getComputedStyle(document.documentElement).getPropertyValue("--palyra-quiet");
    for (const canvas of document.querySelectorAll("canvas.chart")) {
      const chart = Chart.getChart(canvas);
      if (!chart) {
        continue;
      }
      chart.options.plugins.legend.labels.color = colour;
      for (const scale of Object.values(chart.options.scales)) {
        scale.ticks.color = colour;
        scale.title.color = colour;
      }
      chart.update();
    }
  };
  window.addEventListener("load", () => {
    setTimeout(tintCharts);
    new MutationObserver(tintCharts).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["class"],
    });
  });

  window.addEventListener("load", () => setTimeout(nameWidgets));
  document.addEventListener("formset:added", () => setTimeout(nameWidgets));

  document.addEventListener("DOMContentLoaded", () => {
    for (const more of document.querySelectorAll('a[href="#"]')) {
      if (more.textContent.trim() === "more_horiz") {
        more.setAttribute("aria-label", "More");
        more.setAttribute("role", "button");
      }
    }
    document.getElementById("main")?.setAttribute("role", "main");
    document.getElementById("command-submit")?.setAttribute("aria-label", "Search");
    silenceIcons(document);
    makeReachable(document);
    const once = document.querySelector("[data-replace-address]");
    if (once) {
      history.replaceState(null, "", once.dataset.replaceAddress);
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => silenceIcons(event.target));
})();
