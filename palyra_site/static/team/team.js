// Copy buttons. They are hidden without scripts; the text itself can always be selected.
document.querySelectorAll("[data-copy]").forEach((button) => {
  const source = document.getElementById(button.dataset.copy);
  const status = document.querySelector("[data-copy-status]");
  const label = button.firstChild;
  const words = label.data;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const copied = await copy(source);
    label.data = copied ? "Copied" : "Press Ctrl+C";
    if (status) status.textContent = copied ? "Copied." : "Selected: press Ctrl+C to copy.";
    setTimeout(() => { label.data = words; }, 4000);
  });
});

// Outside a secure context there is no clipboard; the text is selected for the reader to copy.
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return false;
  }
}
