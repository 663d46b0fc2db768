/** Light or dark: as the system asks, until a person chooses. */

import { setText } from "./dom.js";

const KEY = "edgeai.theme";
const CHOICES = /** @type {const} */ (["auto", "light", "dark"]);
const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };

/**
 * Let a button step through auto, light and dark; the choice outlives the page.
 * Dispatches `themechange` on the document, for what draws on a canvas.
 * @param {HTMLElement} button
 */
export function mountTheme(button) {
  let choice = read();
  const show = () => {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    setText(button, NAMES[choice]);
    button.setAttribute("aria-label", `Theme: ${NAMES[choice]}. Change`);
    document.dispatchEvent(new CustomEvent("themechange"));
  };
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    write(choice);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

/** @returns {(typeof CHOICES)[number]} */
function read() {
  try {
    return CHOICES.find((choice) => choice === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    return "auto"; // storage may be forbidden; the page works without
  }
}

/** @param {string} choice */
function write(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // kept for this page only
  }
}
