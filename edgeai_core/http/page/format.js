/** Numbers and times as people read them. */

const EMPTY = "–";
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/**
 * A time of day; with the day before it where that is not today.
 * @param {string | number | Date} moment
 * @param {number} now_ms
 */
export function timeOfDay(moment, now_ms) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return EMPTY;
  const today = new Date(now_ms).toDateString() === date.toDateString();
  return today ? TIME.format(date) : `${DAY.format(date)} ${TIME.format(date)}`;
}

/** A span of time: "8 s", "2 min 05 s", "3 h 12 min", "4 d 2 h". @param {number} span_ms */
export function span(span_ms) {
  if (!Number.isFinite(span_ms)) return EMPTY;
  const s = Math.max(0, Math.floor(span_ms / 1000));
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Microseconds in the unit that suits them. @param {unknown} us */
export function microseconds(us) {
  const value = number(us);
  if (value === null) return EMPTY;
  if (value < 999.5) return `${Math.round(value)} µs`;
  if (value < 999_500) return `${significant(value / 1e3)} ms`;
  return value < 60e6 ? `${significant(value / 1e6)} s` : span(value / 1e3);
}

/** Any plain value in a few characters. @param {unknown} value @returns {string} */
export function plain(value) {
  if (value === null || value === undefined) return EMPTY;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : significant(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value) && value.length === 0) return EMPTY;
  if (Array.isArray(value)) return value.length > 12 ? `${value.slice(0, 12).map(plain).join(", ")} …` : value.map(plain).join(", ");
  if (typeof value === "object") return Object.entries(value).slice(0, 12).map(([k, v]) => `${k} ${plain(v)}`).join(", ");
  const text = String(value);
  if (text === "") return EMPTY;
  return text.length > 300 ? `${text.slice(0, 300)} …` : text;
}

/** A field's name as words, its unit set apart: "heart_rate_bpm" is "heart rate (bpm)". @param {string} field */
export function words(field) {
  const unit = /_(s|ms|us|ns|hz|mv|bpm|m|mps|share)$/.exec(field);
  const name = (unit ? field.slice(0, unit.index) : field).replaceAll("_", " ");
  const shown = { hz: "Hz", mv: "mV", us: "µs", bpm: "/min", mps: "m/s" }[unit?.[1] ?? ""] ?? unit?.[1];
  return shown ? `${name} (${shown})` : name;
}

/** Three significant digits, no exponent where it can be helped. @param {number} value */
export function significant(value) {
  if (!Number.isFinite(value)) return EMPTY;
  const size = Math.abs(Number(value.toPrecision(3)));
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.01 || size === 0) return value.toFixed(2);
  return value.toPrecision(2);
}

/** The value where it is a finite number, else null. @param {unknown} value @returns {number | null} */
export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
