/** Elements made from plain values: text only ever becomes text nodes, never markup. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, string | boolean | number | null | undefined | EventListener>} attributes
 *   `onclick` and the like take functions; `true` sets an empty attribute; false, null and undefined leave it out.
 * @param {...(Node | string | number | null | undefined)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * Change an element's text only where it differs, so that nothing is laid out or read aloud for no reason.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Find an element that the page cannot do without.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no element with the id ${id}`);
  return element;
}

/**
 * Add a style sheet, once.
 * @param {string} href
 * @returns {Promise<void>} when the sheet holds, for what is drawn takes its colours from it
 */
export function loadStyle(href) {
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const link = h("link", { rel: "stylesheet", href });
    link.addEventListener("load", () => resolve());
    link.addEventListener("error", () => reject(new Error(`${href} does not load`)));
    document.head.append(link);
  });
}
