/** An ECG strip that is swept like a bedside monitor's: the newest stands at the bar, what is a strip old is wiped. */

const SPEED_MM_PER_S = 25;
const LAG_S = 0.25; // behind the newest sample, so that chunks join into one movement
const REDRAW_S = 2.8; // beats are known up to 0.4 s late, their classes up to 2.4 s: this much behind the bar is drawn anew
const GAP_S = 0.25;
const LABEL_S = 2.5; // the rhythm is named this often
const BAND_PX = 22;
const MAX_LEADS = 12;

/**
 * What the loop says of a chunk (the live topic `healthcare.ecg/ecg`).
 * @typedef {object} Chunk
 * @property {string[]} lead_names
 * @property {number} rate_hz
 * @property {number} first_index number of the first sample since the analysis began
 * @property {(number | null)[][]} samples_mv by lead
 * @property {number[]} beats_s new beats, in seconds since the analysis began
 * @property {[number, string][]} [beat_classes] beats whose class became known, and the class: N, S, V or F
 * @property {string} rhythm
 * @property {string} status
 */

export class Sweep {
  #canvas;
  #pen;
  /** @type {string[]} */
  #leads = [];
  #rate_hz = 0;
  /** @type {Float32Array[]} ring buffers, one a lead */
  #rings = [];
  #end = 0; // number of the sample after the newest
  #head_s = 0;
  /** @type {number[]} */
  #beats_s = [];
  /** @type {Map<number, string>} classes of beats that are not normal, by their times */
  #classes = new Map();
  /** @type {{from_s: number, rhythm: string, status: string}[]} */
  #rhythms = [];
  #frame_ms = 0;
  #mm_px = 4;
  #gain_mm_per_mv = 10;
  #width = 0;
  #height = 0;
  /** @type {Record<string, string>} */
  #colours = { trace: "", beat: "", soft: "", alarm: "", onalarm: "" };

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const pen = canvas.getContext("2d");
    if (pen === null) throw new Error("this browser draws no canvas");
    this.#canvas = canvas;
    this.#pen = pen;
  }

  /** How many seconds one sweep holds. */
  get strip_s() {
    return Math.max(1, this.#width / (SPEED_MM_PER_S * this.#mm_px));
  }

  /** The height one lead has, in millimetres of paper. */
  get lane_mm() {
    return this.#leads.length <= 1 ? 40 : this.#leads.length <= 3 ? 30 : 20;
  }

  /** Take a chunk; returns true where the leads or the rate are others than before. @param {Chunk} chunk */
  append(chunk) {
    const leads = chunk.lead_names.slice(0, MAX_LEADS);
    const other = leads.join() !== this.#leads.join() || chunk.rate_hz !== this.#rate_hz;
    const back = chunk.first_index < this.#end - chunk.rate_hz;
    if (other || back) this.#begin(leads, chunk);
    const size = this.#rings[0]?.length ?? 0;
    const length = Math.min(chunk.samples_mv[0]?.length ?? 0, size);
    for (let gap = Math.max(this.#end, chunk.first_index - size); gap < chunk.first_index; gap += 1) {
      for (const ring of this.#rings) ring[gap % size] = Number.NaN; // lost samples stay a hole
    }
    this.#rings.forEach((ring, lead) => {
      for (let i = 0; i < length; i += 1) ring[(chunk.first_index + i) % size] = chunk.samples_mv[lead]?.[i] ?? Number.NaN;
    });
    this.#end = chunk.first_index + length;
    const oldest_s = this.#end / this.#rate_hz - size / this.#rate_hz;
    this.#beats_s = [...this.#beats_s, ...chunk.beats_s].filter((beat_s) => beat_s > oldest_s).slice(-200);
    for (const [beat_s, kind] of chunk.beat_classes ?? []) if (kind !== "N") this.#classes.set(beat_s, kind);
    for (const beat_s of this.#classes.keys()) if (beat_s <= oldest_s) this.#classes.delete(beat_s);
    const last = this.#rhythms.at(-1);
    if (last?.rhythm !== chunk.rhythm || last.status !== chunk.status) {
      this.#rhythms.push({ from_s: chunk.first_index / this.#rate_hz, rhythm: chunk.rhythm, status: chunk.status });
      this.#rhythms = this.#rhythms.slice(-40);
    }
    return other;
  }

  /** Set the gain and draw anew. @param {number} gain_mm_per_mv */
  scale(gain_mm_per_mv) {
    this.#gain_mm_per_mv = gain_mm_per_mv;
    this.#redraw();
  }

  /** Fit the canvas to its place on the page and draw anew, in the colours that hold now. */
  fit() {
    const style = getComputedStyle(this.#canvas);
    const { width, height } = this.#canvas.getBoundingClientRect();
    const dots = window.devicePixelRatio || 1;
    this.#width = width;
    this.#height = height;
    this.#mm_px = Number.parseFloat(style.getPropertyValue("--mm")) || 4;
    this.#canvas.width = Math.round(width * dots);
    this.#canvas.height = Math.round(height * dots);
    this.#pen.setTransform(dots, 0, 0, dots, 0, 0);
    this.#pen.font = `600 12px ${style.fontFamily}`;
    for (const name of Object.keys(this.#colours)) {
      this.#colours[name] = style.getPropertyValue(`--ecg-${name}`);
    }
    this.#resizeRings();
    this.#redraw();
  }

  /** Move the bar on to now. @param {number} now_ms of the animation frame */
  advance(now_ms) {
    if (this.#rate_hz === 0) return;
    const newest_s = this.#end / this.#rate_hz;
    const elapsed_s = (now_ms - this.#frame_ms) / 1000;
    this.#frame_ms = now_ms;
    const before_s = this.#head_s;
    const lag_s = newest_s - before_s - LAG_S;
    const far = Math.abs(lag_s) > 1.5 || elapsed_s > 1;
    const next_s = far ? newest_s - LAG_S : before_s + elapsed_s * (1 + Math.max(-0.5, Math.min(0.5, lag_s)));
    this.#head_s = Math.min(newest_s, Math.max(before_s, next_s));
    if (this.#head_s > before_s) this.#span(Math.max(before_s, this.#head_s - this.strip_s) - REDRAW_S, this.#head_s);
  }

  /** Draw up to the newest sample, for those who asked for less motion. */
  jump() {
    if (this.#rate_hz === 0) return;
    this.#head_s = this.#end / this.#rate_hz;
    this.#redraw();
  }

  /** @param {string[]} leads @param {Chunk} chunk */
  #begin(leads, chunk) {
    this.#leads = leads;
    this.#rate_hz = chunk.rate_hz;
    this.#rings = [];
    this.#beats_s = [];
    this.#classes.clear();
    this.#rhythms = [];
    this.#end = chunk.first_index;
    this.#head_s = chunk.first_index / chunk.rate_hz;
    this.#resizeRings();
    this.#pen.clearRect(0, 0, this.#width, this.#height);
  }

  #resizeRings() {
    const size = Math.ceil((this.strip_s + 2) * this.#rate_hz);
    if (size === 0 || this.#rings[0]?.length === size) return;
    const old = this.#rings;
    this.#rings = this.#leads.map((_, lead) => {
      const ring = new Float32Array(size).fill(Number.NaN);
      const kept = Math.min(size, old[lead]?.length ?? 0);
      for (let i = Math.max(0, this.#end - kept); i < this.#end; i += 1) ring[i % size] = old[lead][i % old[lead].length];
      return ring;
    });
  }

  #redraw() {
    this.#pen.clearRect(0, 0, this.#width, this.#height);
    if (this.#rate_hz > 0 && this.#width > 0) this.#span(this.#head_s - this.strip_s + GAP_S, this.#head_s);
  }

  /** Wipe and draw what lies between two moments, and wipe the gap before the bar. @param {number} from_s @param {number} to_s */
  #span(from_s, to_s) {
    const px_per_s = SPEED_MM_PER_S * this.#mm_px;
    for (let sweep = Math.floor(from_s / this.strip_s); sweep * this.strip_s < to_s + GAP_S; sweep += 1) {
      const left_s = sweep * this.strip_s; // the moment at the left edge in this sweep
      const x0 = Math.max(0, Math.floor((from_s - left_s) * px_per_s)); // whole pixels: no seams
      const x1 = Math.min(this.#width, Math.ceil((to_s - left_s) * px_per_s));
      const gap = Math.min(this.#width, (to_s + GAP_S - left_s) * px_per_s);
      this.#pen.clearRect(x0, 0, gap - x0, this.#height);
      if (x1 <= x0) continue;
      this.#pen.save();
      this.#pen.beginPath();
      this.#pen.rect(x0, 0, x1 - x0, this.#height);
      this.#pen.clip();
      const x = (/** @type {number} */ moment_s) => (moment_s - left_s) * px_per_s;
      this.#band(x, Math.max(from_s, left_s), Math.min(to_s + 1 / px_per_s, left_s + this.strip_s), left_s);
      this.#beats(x);
      this.#traces(x, Math.max(from_s, left_s), to_s);
      this.#pen.restore();
    }
  }

  /** @param {(moment_s: number) => number} x @param {number} from_s @param {number} to_s */
  #traces(x, from_s, to_s) {
    const size = this.#rings[0].length;
    const first = Math.max(0, this.#end - size, Math.floor(from_s * this.#rate_hz) - 2);
    const last = Math.min(this.#end - 1, Math.ceil(to_s * this.#rate_hz) + 1);
    const mv_px = this.#gain_mm_per_mv * this.#mm_px;
    const lane_px = this.lane_mm * this.#mm_px;
    this.#pen.strokeStyle = this.#colours.trace;
    this.#pen.lineWidth = 1.6;
    this.#pen.lineJoin = "round";
    this.#rings.forEach((ring, lead) => {
      const zero = (lead + 0.5) * lane_px;
      let down = false;
      this.#pen.beginPath();
      for (let i = first; i <= last; i += 1) {
        const value_mv = ring[i % size];
        if (Number.isNaN(value_mv)) down = false;
        else {
          const y = Math.max(-10, Math.min(this.#height - BAND_PX, zero - value_mv * mv_px));
          if (down) this.#pen.lineTo(x(i / this.#rate_hz), y);
          else this.#pen.moveTo(x(i / this.#rate_hz), y);
          down = true;
        }
      }
      this.#pen.stroke();
    });
  }

  /** A mark over every beat that was found, with its class where it is not normal. @param {(moment_s: number) => number} x */
  #beats(x) {
    this.#pen.fillStyle = this.#colours.beat;
    for (const beat_s of this.#beats_s) {
      if (beat_s > this.#head_s) continue;
      const at = x(beat_s);
      this.#pen.beginPath();
      this.#pen.moveTo(at - 4, 2);
      this.#pen.lineTo(at + 4, 2);
      this.#pen.lineTo(at, 9);
      this.#pen.fill();
      const kind = this.#classes.get(beat_s);
      if (kind !== undefined) this.#pen.fillText(kind, at + 6, 12);
    }
  }

  /**
   * The rhythm under the strip: a filled band while it is an alarm.
   * @param {(moment_s: number) => number} x
   * @param {number} from_s
   * @param {number} to_s
   * @param {number} left_s the moment at the left edge
   */
  #band(x, from_s, to_s, left_s) {
    const top = this.#height - BAND_PX;
    this.#rhythms.forEach(({ from_s: begin_s, rhythm, status }, at) => {
      const end_s = this.#rhythms[at + 1]?.from_s ?? Number.POSITIVE_INFINITY;
      if (begin_s > to_s || end_s < from_s) return;
      const alarm = status === "CRITICAL";
      const left = x(Math.max(begin_s, from_s - 1));
      this.#pen.fillStyle = alarm ? this.#colours.alarm : this.#colours.soft;
      this.#pen.fillRect(left, top, x(Math.min(end_s, to_s)) - left, alarm ? BAND_PX : 1);
      this.#pen.fillRect(x(begin_s), top, 2, BAND_PX);
      this.#pen.fillStyle = alarm ? this.#colours.onalarm : this.#colours.soft;
      const room = this.#pen.measureText(rhythm).width + 8;
      const last = Math.min(x(end_s), this.#width) - room;
      for (let label = x(Math.max(begin_s, left_s)); label <= last; label += LABEL_S * SPEED_MM_PER_S * this.#mm_px) {
        this.#pen.fillText(rhythm, label + 6, top + 15);
      }
    });
  }
}
