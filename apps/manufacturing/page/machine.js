/** The machine panel: its health, how long it will last, and the spectra that say why. */

import { h as make, loadStyle, setText as text } from "/dom.js";

const TOPIC = "manufacturing.maintenance/machine";
const SILENT_MS = 5000;
const UNKNOWN = "–";
const HISTORY = 240; // points of the health curve that are kept
const WORDS = {
  none: "no fault seen",
  outer_race: "bearing, outer race",
  inner_race: "bearing, inner race",
  ball: "bearing, rolling element",
  imbalance: "imbalance",
  misalignment: "misalignment",
  cavitation: "cavitation",
  gear: "gear",
  "cannot tell": "cannot tell which fault",
};
const SLOW = [
  ["rpm", "speed", "rpm", ""],
  ["temperature_c", "temperature", "°C", "K/h"],
  ["pressure_bar", "pressure", "bar", "bar/h"],
  ["current_a", "current", "A", "A/h"],
];

/** @typedef {{machine: string, status: string, health_index: number | null, failure_probability: number | null, remaining: (number | null)[], remaining_unit: string, fault: string, fault_probability: number | null, basis: string, anomaly: number | null, zone: string, velocity_mm_s: number | null, hours: number | null, learning: number, slow: Record<string, number | null>, trends: Record<string, number>, troubles: string[], simulated: boolean, replayed?: boolean, spectrum_mm_s?: number[], spectrum_to_hz?: number, speed_hz?: number | null, crest?: number, kurtosis?: number, envelope?: number[], envelope_orders?: number[], lines?: Record<string, number>}} Live */

/**
 * @param {HTMLElement} element
 * @param {{subscribe: (topic: string, callback: (data: any) => void) => () => void}} api
 */
export async function mount(element, api) {
  await loadStyle(new URL("machine.css", import.meta.url).href);
  const view = build(element);
  /** @type {{health: number | null, at: number}[]} */
  const past = [];
  /** @type {Live | null} */
  let last = null;
  let heard_ms = performance.now();
  const draw = () => {
    if (last) view.draw(last, past);
  };
  const unsubscribe = api.subscribe(TOPIC, (/** @type {Live} */ live) => {
    heard_ms = performance.now();
    const at = live.hours ?? 0;
    if (past.length && at < past[past.length - 1].at) past.length = 0; // another machine, or the same from its start
    past.push({ health: live.health_index, at });
    if (past.length > HISTORY) past.shift();
    last = live;
    view.show(live);
    draw();
  });
  const size = new ResizeObserver(draw);
  size.observe(element);
  document.addEventListener("themechange", draw);
  const ticking = setInterval(() => {
    if (!element.isConnected) {
      unsubscribe();
      size.disconnect();
      clearInterval(ticking);
      document.removeEventListener("themechange", draw);
      return;
    }
    const silent_ms = performance.now() - heard_ms;
    view.silence(silent_ms > SILENT_MS ? Math.floor(silent_ms / 1000) : 0);
  }, 500);
}

/** @param {HTMLElement} element */
function build(element) {
  const health = make("p", { class: "machine-number" }, UNKNOWN);
  const probability = make("p", { class: "machine-number" }, UNKNOWN);
  const life = make("p", { class: "machine-number" }, UNKNOWN);
  const interval = make("p", { class: "machine-note" }, "");
  const fault = make("p", { class: "machine-fault" }, UNKNOWN);
  const basis = make("p", { class: "machine-note" }, "");
  const made = make("p", { class: "machine-made", hidden: "" }, "Simulated");
  const silent = make("p", { class: "machine-silent", hidden: "" }, "No data");
  const trouble = make("p", { class: "machine-trouble", hidden: "" });
  const facts = make("dl", { class: "machine-facts" });
  const curve = chart("Health by running hours");
  const velocity = chart("Velocity spectrum, mm/s by Hz");
  const envelope = chart("Envelope spectrum by orders of the shaft, with the bearing's lines");
  const root = make(
    "div",
    { class: "machine" },
    make(
      "div",
      { class: "machine-tiles" },
      make("div", {}, make("p", { class: "machine-title" }, "health"), health, make("p", { class: "machine-note" }, "1 as learnt, 0 at a limit")),
      make("div", {}, make("p", { class: "machine-title" }, "time to failure"), life, interval),
      make("div", {}, make("p", { class: "machine-title" }, "failure soon"), probability, make("p", { class: "machine-note" }, "probability within the horizon")),
      make("div", {}, make("p", { class: "machine-title" }, "fault"), fault, basis),
    ),
    make("div", { class: "machine-flags" }, made, silent, trouble),
    make("div", { class: "machine-charts" }, curve.figure, velocity.figure, envelope.figure),
    facts,
  );
  element.replaceChildren(root);
  return {
    /** @param {Live} live */
    show(live) {
      root.dataset.status = live.status;
      made.hidden = !live.simulated && !live.replayed;
      text(made, live.simulated ? "Simulated" : "Replayed");
      text(health, live.health_index === null ? UNKNOWN : live.health_index.toFixed(2));
      text(probability, live.failure_probability === null ? UNKNOWN : `${Math.round(live.failure_probability * 100)} %`);
      const [low, median, high] = live.remaining;
      text(life, median === null ? (low === null ? UNKNOWN : `> ${round(low)} ${live.remaining_unit}`) : `${round(median)} ${live.remaining_unit}`);
      text(interval, low === null ? (live.learning < 1 ? `learning: ${Math.round(live.learning * 100)} %` : "no end in sight") : `90 %: ${round(low)} to ${high === null ? "no upper end" : round(high)} ${live.remaining_unit}`);
      text(fault, WORDS[/** @type {keyof typeof WORDS} */ (live.fault)] ?? live.fault);
      text(basis, live.fault_probability === null ? live.basis : `${Math.round(live.fault_probability * 100)} %: ${live.basis}`);
      trouble.hidden = live.troubles.length === 0;
      text(trouble, live.troubles.join("; "));
      const told = [
        ["machine", live.machine],
        ["running hours", live.hours === null ? UNKNOWN : round(live.hours)],
        ["velocity", live.velocity_mm_s === null ? UNKNOWN : `${live.velocity_mm_s.toFixed(2)} mm/s, zone ${live.zone}`],
        ["unusual by", live.anomaly === null ? UNKNOWN : `${live.anomaly.toFixed(1)} spreads`],
        ["crest, kurtosis", live.crest === undefined ? UNKNOWN : `${live.crest.toFixed(1)}, ${(live.kurtosis ?? 0).toFixed(1)}`],
        ...SLOW.filter(([name]) => typeof live.slow[name] === "number").map(([name, word, unit, pace]) => [
          word,
          `${round(/** @type {number} */ (live.slow[name]))} ${unit}${pace && live.trends[name] !== undefined ? ` (${signed(live.trends[name])} ${pace})` : ""}`,
        ]),
      ];
      if (facts.childElementCount !== told.length * 2) facts.replaceChildren(...told.flatMap(() => [make("dt", {}), make("dd", {})]));
      facts.querySelectorAll("dt").forEach((term, at) => text(term, told[at][0]));
      facts.querySelectorAll("dd").forEach((fact, at) => text(fact, told[at][1]));
    },
    /** @param {Live} live @param {{health: number | null, at: number}[]} past */
    draw(live, past) {
      const known = past.filter((point) => point.health !== null);
      const from = past.length ? past[0].at : 0;
      const [low, median, high] = live.remaining;
      const now = live.hours ?? 0;
      const far = high ?? median ?? low;
      const to = Math.max(now + (far === null || live.remaining_unit !== "h" ? 0 : Math.min(far, Math.max(1e-6, now - from))), from + 1e-6);
      plot(curve.canvas, { x: [from, to], y: [0, 1], xWord: "h", yWord: "" }, (pen) => {
        if (low !== null && live.remaining_unit === "h" && live.health_index !== null) {
          pen.wedge(now, live.health_index, now + low, now + (high ?? to - now));
          if (median !== null) pen.dashed([[now, live.health_index], [now + median, 0]]);
        }
        pen.line(known.map((point) => [point.at, /** @type {number} */ (point.health)]));
      });
      curve.say(`Health ${live.health_index === null ? "unknown" : live.health_index.toFixed(2)}. ${interval.textContent}`);
      const spectrum = live.spectrum_mm_s ?? [];
      const top = Math.max(0.5, ...spectrum) * 1.15;
      const hz = live.spectrum_to_hz ?? 1000;
      plot(velocity.canvas, { x: [0, Math.min(hz, 500)], y: [0, top], xWord: "Hz", yWord: "mm/s" }, (pen) => {
        if (live.speed_hz) for (const order of [1, 2, 3]) pen.mark(order * live.speed_hz, `${order}x`);
        pen.line(spectrum.map((value, at) => [((at + 0.5) * hz) / spectrum.length, value]));
      });
      velocity.say(`Velocity spectrum. Largest ${Math.max(0, ...spectrum).toFixed(2)} mm/s.`);
      const power = (live.envelope ?? []).map((value) => Math.log10(Math.max(value, 1e-3)));
      const [first, end] = live.envelope_orders ?? [0, 12];
      plot(envelope.canvas, { x: [0, end], y: [-0.5, Math.max(1.5, ...power) * 1.15], xWord: "x shaft", yWord: "log" }, (pen) => {
        for (const [name, order] of Object.entries(live.lines ?? {}).sort((one, other) => one[1] - other[1])) pen.mark(order, name);
        pen.line(power.map((value, at) => [first + ((at + 0.5) * (end - first)) / power.length, value]));
      });
      envelope.say(`Envelope spectrum with lines ${Object.entries(live.lines ?? {}).map(([name, order]) => `${name} at ${order}`).join(", ")}.`);
    },
    /** @param {number} silent_s 0 while data come */
    silence(silent_s) {
      silent.hidden = silent_s === 0;
      text(silent, `No data for ${silent_s} s`);
    },
  };
}

/** @param {string} title */
function chart(title) {
  const canvas = make("canvas", { role: "img", "aria-label": title });
  const figure = make("figure", {}, make("figcaption", {}, title), canvas);
  return {
    canvas,
    figure,
    /** @param {string} words */
    say(words) {
      canvas.setAttribute("aria-label", words);
    },
  };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{x: number[], y: number[], xWord: string, yWord: string}} axes
 * @param {(pen: Pen) => void} paint
 */
function plot(canvas, axes, paint) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (width === 0) return;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(ratio, ratio);
  const pen = new Pen(context, axes, width, height, getComputedStyle(canvas));
  pen.frame();
  paint(pen);
}

/** Draws in the units of the axes. */
class Pen {
  /** @param {CanvasRenderingContext2D} context @param {{x: number[], y: number[], xWord: string, yWord: string}} axes @param {number} width @param {number} height @param {CSSStyleDeclaration} colours */
  constructor(context, axes, width, height, colours) {
    this.context = context;
    this.axes = axes;
    this.box = { left: 34, right: width - 8, top: 28, bottom: height - 18 };
    /** @type {number[]} where the last word of each row of marks ends */
    this.rows = [-Infinity, -Infinity];
    this.colour = (/** @type {string} */ name) => colours.getPropertyValue(`--machine-${name}`).trim() || "grey";
    context.font = "11px system-ui, sans-serif";
  }
  /** @param {number} value */
  x(value) {
    const [from, to] = this.axes.x;
    return this.box.left + ((value - from) / (to - from || 1)) * (this.box.right - this.box.left);
  }
  /** @param {number} value */
  y(value) {
    const [from, to] = this.axes.y;
    return this.box.bottom - ((value - from) / (to - from || 1)) * (this.box.bottom - this.box.top);
  }
  frame() {
    const { context, box, axes } = this;
    context.strokeStyle = this.colour("grid");
    context.fillStyle = this.colour("soft");
    context.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      const y = box.bottom - share * (box.bottom - box.top);
      context.beginPath();
      context.moveTo(box.left, y);
      context.lineTo(box.right, y);
      context.stroke();
      context.textAlign = "right";
      context.fillText(round(axes.y[0] + share * (axes.y[1] - axes.y[0])), box.left - 4, y + 4);
      context.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      const unit = share === 1 ? ` ${axes.xWord}` : "";
      context.fillText(`${round(axes.x[0] + share * (axes.x[1] - axes.x[0]))}${unit}`, box.left + share * (box.right - box.left), box.bottom + 14);
    }
  }
  /** @param {number[][]} points */
  line(points) {
    const { context } = this;
    context.save();
    this.clip();
    context.strokeStyle = this.colour("line");
    context.lineWidth = 1.5;
    context.beginPath();
    points.forEach(([x, y], at) => (at ? context.lineTo(this.x(x), this.y(y)) : context.moveTo(this.x(x), this.y(y))));
    context.stroke();
    context.restore();
  }
  /** @param {number[][]} points */
  dashed(points) {
    this.context.setLineDash([4, 4]);
    this.line(points);
    this.context.setLineDash([]);
  }
  /** From a point to the stretch of the axis in which it may end. @param {number} x @param {number} y @param {number} low @param {number} high */
  wedge(x, y, low, high) {
    const { context } = this;
    context.save();
    this.clip();
    context.fillStyle = this.colour("tint");
    context.beginPath();
    context.moveTo(this.x(x), this.y(y));
    context.lineTo(this.x(low), this.y(0));
    context.lineTo(this.x(high), this.y(0));
    context.closePath();
    context.fill();
    context.restore();
  }
  /** @param {number} x @param {string} word */
  mark(x, word) {
    const [from, to] = this.axes.x;
    if (x < from || x > to) return;
    const { context, box } = this;
    context.save();
    context.strokeStyle = this.colour("mark");
    context.setLineDash([2, 3]);
    context.beginPath();
    context.moveTo(this.x(x), box.top);
    context.lineTo(this.x(x), box.bottom);
    context.stroke();
    context.fillStyle = this.colour("mark");
    context.textAlign = "center";
    const half = context.measureText(word).width / 2;
    const at = Math.min(Math.max(this.x(x), box.left + half), box.right - half);
    const row = at - half > this.rows[0] ? 0 : 1;
    this.rows[row] = at + half + 4;
    context.fillText(word, at, box.top - 4 - 12 * row);
    context.restore();
  }
  clip() {
    const { box, context } = this;
    context.beginPath();
    context.rect(box.left, box.top - 2, box.right - box.left, box.bottom - box.top + 4);
    context.clip();
  }
}

/** Three digits that count. @param {number} value */
function round(value) {
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {number} value */
function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(2)}`;
}
