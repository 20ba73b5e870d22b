// What a person should know, as sentences on the page: notices go by themselves, errors stay until they are closed.

import { make } from "./structure_list.js";

const STAY = 9000;

/**
 * Show a sentence.
 *
 * @param {string} sentence
 * @param {{kind?: "info"|"warning"|"error", action?: {label: string, act: () => void}}} options
 */
export function notice(sentence, { kind = "info", action = null } = {}) {
  const box = document.getElementById("notices");
  [...box.children].filter((child) => child.dataset.sentence === sentence).forEach((child) => child.remove());
  const shown = make("div", { className: `notice ${kind}` });
  shown.dataset.sentence = sentence;
  shown.setAttribute("role", kind === "error" ? "alert" : "status");
  shown.append(make("span", { textContent: sentence }));
  if (action) {
    const button = make("button", { textContent: action.label, type: "button" });
    button.addEventListener("click", () => {
      shown.remove();
      action.act();
    });
    shown.append(button);
  }
  const close = make("button", { textContent: "✕", type: "button" });
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", () => shown.remove());
  shown.append(close);
  box.append(shown);
  while (box.children.length > 3) box.firstChild.remove();
  if (kind !== "error") setTimeout(() => shown.remove(), STAY);
}

/** Errors that no longer hold go, as soon as something succeeds. */
export function clearErrors() {
  document.querySelectorAll(".notice.error").forEach((shown) => shown.remove());
}
