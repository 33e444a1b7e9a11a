// Choosing a period by name puts away the days that were given before, which would outweigh it.
"use strict";

(() => {
  document.addEventListener("change", (event) => {
    if (event.target.id !== "filter-period") {
      return;
    }
    for (const day of document.querySelectorAll("#filter-from, #filter-to")) {
      day.value = "";
    }
  });
})();
