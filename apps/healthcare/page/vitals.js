/** The vital signs panel: every sign large, where it is going, how old it is, and the NEWS2 score they make. */

import { h as make, loadStyle, setText as text } from "/dom.js";

const TOPIC = "healthcare.vitals/vitals";
const SILENT_MS = 5000;
const KEPT_MS = 15 * 60 * 1000;
const POINT_EVERY_MS = 5000;

/** In the order of the screen; what belongs to the pressure stands together. */
const TILES = [
  { sign: "heart_rate", name: "Heart rate", unit: "/min", digits: 0 },
  { sign: "spo2", name: "SpO2", unit: "%", digits: 0 },
  { sign: "respiration", name: "Respiration", unit: "/min", digits: 0 },
  { sign: "systolic", name: "Blood pressure", unit: "mmHg", digits: 0 },
  { sign: "temperature", name: "Temperature", unit: "°C", digits: 1 },
  { sign: "consciousness", name: "Consciousness", unit: "", digits: 0 },
];

/**
 * @typedef {{sign: string, name: string, unit: string, value: number, age_s: number, quality: number, origins: string[],
 *   points: number | null, per_h_15_min: number | null, per_h_1_h: number | null}} SignNow
 * @typedef {{patient: string, status: string, news2: number | null, news2_risk: string, news2_missing: string[],
 *   signs: SignNow[], silent: string[], findings: string[], consciousness: string, simulated: boolean,
 *   recording: string}} Live
 */

/**
 * @param {HTMLElement} element
 * @param {{subscribe: (topic: string, callback: (data: any) => void) => () => void}} api
 */
export async function mount(element, api) {
  await loadStyle(new URL("vitals.css", import.meta.url).href);
  const view = build(element);
  /** @type {Map<string, {at_ms: number, value: number}[]>} */
  const past = new Map();
  let heard_ms = performance.now();
  const unsubscribe = api.subscribe(TOPIC, (/** @type {Live} */ live) => {
    heard_ms = performance.now();
    for (const { sign, value } of live.signs) keep(past, sign, value);
    view.show(live, past);
  });
  const ticking = setInterval(() => {
    if (!element.isConnected) {
      clearInterval(ticking);
      unsubscribe();
      return;
    }
    const silent_ms = performance.now() - heard_ms;
    view.silence(silent_ms > SILENT_MS ? Math.floor(silent_ms / 1000) : 0);
  }, 500);
}

/** @param {Map<string, {at_ms: number, value: number}[]>} past @param {string} sign @param {number} value */
function keep(past, sign, value) {
  const now_ms = performance.now();
  const points = past.get(sign) ?? [];
  past.set(sign, points);
  const last = points[points.length - 1];
  if (last === undefined || now_ms - last.at_ms >= POINT_EVERY_MS) points.push({ at_ms: now_ms, value });
  while (points.length > 0 && points[0].at_ms < now_ms - KEPT_MS) points.shift();
}

/** @param {HTMLElement} element */
function build(element) {
  const score = make("p", { class: "vitals-score" }, "–");
  const risk = make("p", { class: "vitals-risk" }, "NEWS2");
  const missing = make("p", { class: "vitals-missing" });
  const made = make("p", { class: "vitals-made", hidden: "" }, "Simulated");
  const silent = make("p", { class: "vitals-silent", role: "status" }, "No data");
  const findings = make("p", { class: "vitals-findings" });
  const tiles = TILES.map((tile) => build_tile(tile));
  const root = make(
    "div",
    { class: "vitals" },
    make("div", { class: "vitals-news" }, make("div", { class: "vitals-circle" }, score), risk, missing, made),
    make("ul", { class: "vitals-tiles", role: "list" }, ...tiles.map((tile) => tile.element)),
    findings,
    silent,
  );
  element.replaceChildren(root);
  return {
    /** @param {Live} live @param {Map<string, {at_ms: number, value: number}[]>} past */
    show(live, past) {
      root.dataset.status = live.status;
      const whole = live.news2_missing.length === 0;
      text(score, live.news2 === null ? "–" : whole ? String(live.news2) : `≥ ${live.news2}`);
      text(risk, live.news2 === null ? "NEWS2 unknown" : whole ? `NEWS2, ${live.news2_risk} risk` : "NEWS2 incomplete");
      text(missing, whole || live.news2 === null ? "" : `without ${live.news2_missing.join(", ")}`);
      root.dataset.risk = live.news2_risk;
      made.hidden = !live.simulated;
      text(findings, live.findings.join(" · "));
      findings.hidden = live.findings.length === 0;
      const found = new Map(live.signs.map((each) => [each.sign, each]));
      for (const tile of tiles) tile.show(found, live, past);
    },
    /** @param {number} silent_s 0 while data come */
    silence(silent_s) {
      silent.hidden = silent_s === 0;
      root.classList.toggle("stale", silent_s > 0);
      if (silent_s > 0) text(silent, `No data for ${silent_s} s`);
    },
  };
}

/** @param {{sign: string, name: string, unit: string, digits: number}} tile */
function build_tile(tile) {
  const value = make("span", { class: "vitals-value" }, "–");
  const unit = make("span", { class: "vitals-unit" }, tile.unit);
  const points = make("span", { class: "vitals-points" });
  const trend = make("p", { class: "vitals-trend" });
  const source = make("p", { class: "vitals-source" }, "not measured");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  line.setAttribute("viewBox", "0 0 100 24");
  line.setAttribute("preserveAspectRatio", "none");
  line.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.append(path);
  const element = make(
    "li",
    { class: "vitals-tile", "data-sign": tile.sign },
    make("p", { class: "vitals-name" }, tile.name, points),
    make("p", {}, value, " ", unit),
    trend,
    source,
  );
  element.insertBefore(line, source);
  return {
    element,
    /**
     * @param {Map<string, SignNow>} found
     * @param {Live} live
     * @param {Map<string, {at_ms: number, value: number}[]>} past
     */
    show(found, live, past) {
      const now = found.get(tile.sign);
      element.classList.toggle("unknown", now === undefined);
      text(value, now === undefined ? "–" : reading(tile, now, found, live));
      const score = now?.points ?? null;
      text(points, score === null || score === 0 ? "" : `+${score}`);
      element.dataset.points = String(score ?? "");
      text(source, told(tile, now, found, live));
      text(trend, tile.sign === "consciousness" ? "" : going(now));
      path.setAttribute("d", drawn(past.get(tile.sign) ?? []));
    },
  };
}

/** @param {{sign: string, digits: number}} tile @param {SignNow} now @param {Map<string, SignNow>} found @param {Live} live */
function reading(tile, now, found, live) {
  if (tile.sign === "consciousness") return live.consciousness;
  if (tile.sign !== "systolic") return now.value.toFixed(tile.digits);
  const low = found.get("diastolic");
  const mean = found.get("mean_pressure");
  return `${now.value.toFixed(0)}/${low === undefined ? "–" : low.value.toFixed(0)}${mean === undefined ? "" : ` (${mean.value.toFixed(0)})`}`;
}

/** Where it comes from and how old it is. @param {{sign: string}} tile @param {SignNow | undefined} now @param {Map<string, SignNow>} found @param {Live} live */
function told(tile, now, found, live) {
  if (now === undefined) return live.silent.some((name) => name.startsWith(tile.sign.split("_")[0])) ? "signal lost" : "not measured";
  const age = now.age_s < 60 ? "" : now.age_s < 3600 ? `, ${Math.round(now.age_s / 60)} min ago` : `, ${(now.age_s / 3600).toFixed(1)} h ago`;
  const oxygen = tile.sign === "spo2" ? found.get("oxygen") : undefined;
  const supply = oxygen === undefined ? "" : oxygen.value > 0 ? `, on ${oxygen.value.toFixed(0)} L/min` : ", on room air";
  return `${now.origins.join(" + ")}${age}${supply}`;
}

/** The slope over 15 minutes, else over an hour, in words. @param {SignNow | undefined} now */
function going(now) {
  const slope = now?.per_h_15_min ?? now?.per_h_1_h ?? null;
  if (now === undefined || slope === null) return "";
  const over = now.per_h_15_min === null ? "1 h" : "15 min";
  if (Math.abs(slope) < 0.02 * Math.abs(now.value)) return `→ steady over ${over}`;
  return `${slope > 0 ? "↗" : "↘"} ${Math.abs(slope).toFixed(Math.abs(slope) < 10 ? 1 : 0)} an hour, over ${over}`;
}

/** The last quarter of an hour as the path of a line, 100 wide and 24 high. @param {{at_ms: number, value: number}[]} points */
function drawn(points) {
  if (points.length < 2) return "";
  const values = points.map((point) => point.value);
  const middle = (Math.max(...values) + Math.min(...values)) / 2;
  const half = Math.max((Math.max(...values) - Math.min(...values)) / 2, 0.04 * Math.abs(middle), 0.2);
  const now_ms = performance.now();
  return points
    .map(({ at_ms, value }, at) => {
      const x = 100 * (1 - (now_ms - at_ms) / KEPT_MS);
      return `${at === 0 ? "M" : "L"}${x.toFixed(1)} ${(12 - (10 * (value - middle)) / half).toFixed(1)}`;
    })
    .join("");
}
