/** The ECG panel: the strip on its paper, the heart rate large, and what the loop makes of them. */

import { h as make, loadStyle, setText as text } from "/dom.js";
import { Sweep } from "./sweep.js";

const TOPIC = "healthcare.ecg/ecg";
const SILENT_MS = 2000;
const SPOKEN_MS = 5000; // how often, at most, the strip's text alternative changes
const UNKNOWN = "– –";
const GAINS = [5, 10, 20];

/** @typedef {import("./sweep.js").Chunk & {lead_off: boolean[], quality: number[] | number | null, heart_rate_bpm: number | null, confidence: number | null, patient: string, simulated: boolean, replayed?: boolean}} Live */

/**
 * @param {HTMLElement} element
 * @param {{subscribe: (topic: string, callback: (data: any) => void) => () => void}} api
 */
export async function mount(element, api) {
  await loadStyle(new URL("ecg.css", import.meta.url).href);
  const view = build(element);
  const sweep = new Sweep(view.canvas);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let heard_ms = performance.now();
  let spoken_ms = -SPOKEN_MS;
  /** @type {Live | null} */
  let last = null;

  const unsubscribe = api.subscribe(TOPIC, (/** @type {Live} */ live) => {
    heard_ms = performance.now();
    last = live;
    if (sweep.append(live)) {
      view.lanes(live.lead_names, sweep.lane_mm);
      sweep.fit();
    }
    view.show(live);
  });
  const speak = () => {
    const silent_ms = performance.now() - heard_ms;
    view.silence(silent_ms > SILENT_MS ? Math.floor(silent_ms / 1000) : 0);
    if (performance.now() - spoken_ms < SPOKEN_MS) return;
    spoken_ms = performance.now();
    view.canvas.setAttribute("aria-label", silent_ms > SILENT_MS || last === null ? "ECG strip. No data." : spoken(last));
  };
  let drawn_ms = 0;
  const frame = (/** @type {number} */ now_ms) => {
    if (!view.canvas.isConnected) return leave();
    if (!still.matches) sweep.advance(now_ms);
    else if (now_ms - drawn_ms > 1000) {
      drawn_ms = now_ms;
      sweep.jump();
    }
    requestAnimationFrame(frame);
  };
  const fit = () => sweep.fit();
  const size = new ResizeObserver(fit);
  const ticking = setInterval(speak, 500);
  const leave = () => {
    unsubscribe();
    size.disconnect();
    clearInterval(ticking);
    document.removeEventListener("themechange", fit);
  };
  size.observe(view.canvas);
  document.addEventListener("themechange", fit);
  view.gain.addEventListener("change", () => {
    sweep.scale(Number(view.gain.value));
  });
  requestAnimationFrame(frame);
}

/** What the strip shows, for those who cannot see it. @param {Live} live */
function spoken(live) {
  const rate = live.heart_rate_bpm === null ? "heart rate unknown" : `heart rate ${Math.round(live.heart_rate_bpm)} a minute`;
  const off = live.lead_names.filter((_, lead) => live.lead_off[lead]);
  const parts = [`${live.simulated ? "Simulated ECG" : live.replayed ? "Replayed ECG" : "ECG"} of ${live.patient}`, `rhythm ${live.rhythm}`, rate];
  if (off.length > 0) parts.push(`lead off: ${off.join(", ")}`);
  return `${parts.join(", ")}.`;
}

/** @param {HTMLElement} element */
function build(element) {
  const canvas = make("canvas", { role: "img", "aria-label": "ECG strip. No data." });
  const leads = make("ul", { class: "ecg-leads", role: "list" });
  const made = make("p", { class: "ecg-made", hidden: "" }, "Simulated");
  const silent = make("p", { class: "ecg-silent" }, "No data");
  const rate = make("p", { class: "ecg-rate unknown" }, UNKNOWN);
  const rhythm = make("p", { class: "ecg-rhythm" }, "–");
  const facts = make("dl", { class: "ecg-facts" });
  const gain = make("select", {}, ...GAINS.map((mm) => make("option", { value: String(mm) }, `${mm} mm/mV`)));
  gain.value = "10";
  const root = make(
    "div",
    { class: "ecg" },
    make("div", { class: "ecg-strip" }, canvas, leads, made, silent),
    make("div", { class: "ecg-numbers" }, rate, make("p", { class: "ecg-rate-unit" }, "heart beats a minute"), rhythm, facts),
    make("div", { class: "ecg-foot" }, make("span", {}, "25 mm/s"), make("label", {}, "Gain", gain), make("span", {}, "▼ beat found: V ventricular, S supraventricular, F fusion")),
  );
  element.replaceChildren(root);
  /** @type {HTMLElement[]} */
  let names = [];
  const beat = (/** @type {number | null} */ bpm) => {
    text(rate, bpm === null ? UNKNOWN : String(Math.round(bpm)));
    rate.classList.toggle("unknown", bpm === null);
  };
  return {
    canvas,
    gain,
    /** @param {string[]} lead_names @param {number} lane_mm */
    lanes(lead_names, lane_mm) {
      root.style.setProperty("--lane-mm", String(lane_mm));
      root.style.setProperty("--lanes-mm", String(lane_mm * Math.min(12, Math.max(1, lead_names.length))));
      names = lead_names.slice(0, 12).map(() => make("span", {}));
      leads.replaceChildren(...names.map((name) => make("li", {}, name)));
    },
    /** @param {Live} live */
    show(live) {
      root.dataset.status = live.status;
      made.hidden = !live.simulated && !live.replayed;
      text(made, live.simulated ? "Simulated" : "Replayed");
      beat(live.heart_rate_bpm);
      text(rhythm, live.rhythm);
      names.forEach((name, lead) => {
        text(name, live.lead_off[lead] ? `${live.lead_names[lead]}: lead off` : live.lead_names[lead]);
        name.classList.toggle("off", Boolean(live.lead_off[lead]));
      });
      const quality = [live.quality].flat().filter((share) => typeof share === "number");
      const told = [
        ["patient", live.patient],
        ["confidence", typeof live.confidence === "number" ? percent(live.confidence) : "–"],
        ["signal", quality.length > 0 ? percent(Math.min(...quality)) : "–"],
      ];
      if (facts.childElementCount !== told.length * 2) facts.replaceChildren(...told.flatMap(([term]) => [make("dt", {}, term), make("dd", {})]));
      facts.querySelectorAll("dd").forEach((fact, at) => text(fact, told[at][1]));
    },
    /** @param {number} silent_s 0 while data come */
    silence(silent_s) {
      silent.hidden = silent_s === 0;
      if (silent_s === 0) return;
      text(silent, `No data for ${silent_s} s`);
      beat(null);
    },
  };
}

/** @param {number} share */
function percent(share) {
  return `${Math.round(share * 100)} %`;
}
