/** The line panel: the last part with its heat map, the parts before it, and how the line does. */

import { h as make, loadStyle, setText as text } from "/dom.js";

const TOPIC = "manufacturing.inspection/part";
const KEPT = 12;
const SILENT_MS = 10000;

/** @typedef {{kind: string, box: number[], area_px: number, score: number}} Defect */
/** @typedef {{parts: number, passed: number, rejected: number, not_judged: number, run_of_rejects: number, yield_share: number | null, parts_per_hour: number | null, cycle_time_s: number | null}} Tally */
/** @typedef {{line: string, number: number, name: string, verdict: string, quality: number | null, confidence: number | null, defects: Defect[], picture: string, width: number, height: number, heat: number[][] | null, tally: Tally, pass_quality: number, simulated: boolean, replayed: boolean}} Part */

/**
 * @param {HTMLElement} element
 * @param {{subscribe: (topic: string, callback: (data: any) => void) => () => void}} api
 */
export async function mount(element, api) {
  await loadStyle(new URL("line.css", import.meta.url).href);
  const view = build(element);
  let heard_ms = performance.now();
  const unsubscribe = api.subscribe(TOPIC, (/** @type {Part} */ part) => {
    heard_ms = performance.now();
    view.show(part);
  });
  const ticking = setInterval(() => {
    if (!view.root.isConnected) {
      unsubscribe();
      clearInterval(ticking);
      return;
    }
    const silent_ms = performance.now() - heard_ms;
    view.silence(silent_ms > SILENT_MS ? Math.floor(silent_ms / 1000) : 0);
  }, 500);
}

/** @param {HTMLElement} element */
function build(element) {
  const canvas = /** @type {HTMLCanvasElement} */ (make("canvas", { role: "img", "aria-label": "Last part. No data.", width: "384", height: "384" }));
  const verdict = make("p", { class: "line-verdict" }, "–");
  const made = make("p", { class: "line-made", hidden: "" }, "");
  const silent = make("p", { class: "line-silent", role: "status" }, "No parts yet");
  const facts = make("dl", { class: "line-facts" });
  const found = make("ul", { class: "line-defects", role: "list", "aria-label": "Defects of the last part" });
  const past = make("ol", { class: "line-past", "aria-label": "Parts before, newest first" });
  const heat = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", checked: "" }));
  const root = make(
    "div",
    { class: "line" },
    make("div", { class: "line-part" }, canvas, made),
    make("div", { class: "line-numbers" }, verdict, found, facts, silent, make("label", {}, heat, "Heat map")),
    past,
  );
  element.replaceChildren(root);
  /** @type {Part | null} */
  let last = null;
  const redraw = () => last && draw(canvas, last, heat.checked);
  heat.addEventListener("change", redraw);
  return {
    root,
    /** @param {Part} part */
    show(part) {
      last = part;
      root.dataset.verdict = part.verdict;
      text(verdict, spoken(part.verdict));
      made.hidden = !part.simulated && !part.replayed;
      text(made, part.simulated ? "Simulated" : "Replayed");
      canvas.setAttribute("aria-label", `Part ${part.number}: ${spoken(part.verdict)}, quality ${percent(part.quality)}, ${part.defects.length} defects.`);
      found.replaceChildren(...part.defects.slice(0, 4).map((each) => make("li", {}, `${each.kind} · ${each.area_px} px · ${percent(each.score)}`)));
      const tally = part.tally;
      fill(facts, [
        ["part", String(part.number)],
        ["quality", percent(part.quality)],
        ["yield", percent(tally.yield_share)],
        ["rejected", `${tally.rejected} of ${tally.passed + tally.rejected}`],
        ["parts an hour", tally.parts_per_hour === null ? "–" : String(Math.round(tally.parts_per_hour))],
        ["cycle", tally.cycle_time_s === null ? "–" : `${tally.cycle_time_s.toFixed(2)} s`],
      ]);
      const picture = make("img", { src: part.picture, alt: `Part ${part.number}: ${spoken(part.verdict)}` });
      past.prepend(make("li", { "data-verdict": part.verdict, title: `Part ${part.number}, quality ${percent(part.quality)}` }, picture));
      while (past.childElementCount > KEPT) past.lastElementChild?.remove();
      redraw();
    },
    /** @param {number} silent_s 0 while parts come */
    silence(silent_s) {
      if (last === null && silent_s === 0) return;
      silent.hidden = silent_s === 0;
      if (silent_s > 0) text(silent, `No part for ${silent_s} s`);
    },
  };
}

/** Draw the part, red where it is odd, with its defects. @param {HTMLCanvasElement} canvas @param {Part} part @param {boolean} heated */
async function draw(canvas, part, heated) {
  const image = new Image();
  image.src = part.picture;
  await image.decode().catch(() => undefined);
  const scale = Math.min(canvas.width / part.width, canvas.height / part.height);
  const [width, height] = [part.width * scale, part.height * scale];
  const [left, top] = [(canvas.width - width) / 2, (canvas.height - height) / 2];
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, left, top, width, height);
  if (heated && part.heat !== null) {
    const [rows, columns] = [part.heat.length, part.heat[0].length];
    part.heat.forEach((row, y) =>
      row.forEach((odd, x) => {
        if (odd <= 60) return;
        pen.fillStyle = `rgb(230 30 40 / ${Math.min(0.55, (odd - 60) / 160).toFixed(2)})`;
        pen.fillRect(left + (x * width) / columns, top + (y * height) / rows, width / columns + 0.5, height / rows + 0.5);
      }),
    );
  }
  pen.lineWidth = 2;
  pen.strokeStyle = "#ff2a3c";
  for (const { box } of part.defects) pen.strokeRect(left + box[0] * scale, top + box[1] * scale, (box[2] - box[0]) * scale, (box[3] - box[1]) * scale);
}

/** @param {string} verdict */
function spoken(verdict) {
  return { pass: "Pass", reject: "Reject" }[verdict] ?? "Cannot tell";
}

/** @param {HTMLElement} list @param {string[][]} told */
function fill(list, told) {
  if (list.childElementCount !== told.length * 2) list.replaceChildren(...told.flatMap(([term]) => [make("dt", {}, term), make("dd", {})]));
  list.querySelectorAll("dd").forEach((fact, at) => text(fact, told[at][1]));
}

/** @param {number | null} share */
function percent(share) {
  return share === null ? "–" : `${(share * 100).toFixed(1)} %`;
}
