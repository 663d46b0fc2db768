/** Alarm priorities as IEC 60601-1-8 shows them: a colour, a shape and a word, so that none stands alone. */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {"high" | "medium" | "low"} PriorityName */

/** The most urgent first. @type {readonly PriorityName[]} */
export const PRIORITIES = ["high", "medium", "low"];

const SHAPES = {
  high: { d: "M12 1.6 23.4 22.2H.6z", marks: "!!!", x: 12, y: 19.6 },
  medium: { d: "M12 .8 23.2 12 12 23.2.8 12z", marks: "!!", x: 12, y: 16 },
  low: { d: "M12 1.5a10.5 10.5 0 1 1 0 21a10.5 10.5 0 1 1 0-21z", marks: "!", x: 12, y: 16.4 },
};

/** Where a priority stands in the order; what is not known comes last. @param {string} priority */
export function rank(priority) {
  const at = PRIORITIES.indexOf(/** @type {PriorityName} */ (priority));
  return at < 0 ? PRIORITIES.length : at;
}

/** The word people read. @param {string} priority */
export function word(priority) {
  return rank(priority) < PRIORITIES.length ? `${priority[0].toUpperCase()}${priority.slice(1)}` : "Unknown";
}

/**
 * The shape: a triangle, a diamond or a disc, with as many marks as it is urgent. The word must stand beside it.
 * @param {string} priority
 * @returns {SVGSVGElement}
 */
export function symbol(priority) {
  const shape = SHAPES[/** @type {PriorityName} */ (priority)] ?? SHAPES.low;
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of [["viewBox", "0 0 24 24"], ["class", "symbol"], ["aria-hidden", "true"], ["focusable", "false"]]) {
    svg.setAttribute(name, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", shape.d);
  const marks = document.createElementNS(SVG, "text");
  marks.setAttribute("x", String(shape.x));
  marks.setAttribute("y", String(shape.y));
  marks.setAttribute("text-anchor", "middle");
  marks.textContent = shape.marks;
  svg.append(path, marks);
  return svg;
}
