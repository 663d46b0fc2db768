/** The alerts this page knows: loaded from the journal, kept up by its stream, never more than a bound. */

import { rank } from "./priority.js";

const MAX_OPEN = 200; // of each kind; a page of the list holds no more
const MAX_CLEARED = 30;
const WANTED = [
  `state=raised&state=latched&limit=${MAX_OPEN}`,
  `state=acknowledged&limit=${MAX_OPEN}`,
  `state=cleared&limit=${MAX_CLEARED}`,
];

/**
 * An alert as the device tells it (see docs/http.md).
 * @typedef {object} Alert
 * @property {string} id
 * @property {string} device
 * @property {string} app
 * @property {string} loop
 * @property {string} code
 * @property {string} subject
 * @property {string} priority
 * @property {string} title
 * @property {"raised" | "acknowledged" | "latched" | "cleared"} state
 * @property {boolean} active true now
 * @property {string} raised_at
 * @property {string} updated_at
 * @property {string | null} acknowledged_at
 * @property {string | null} acknowledged_by
 * @property {string | null} cleared_at
 * @property {Record<string, unknown>} evidence
 * @property {boolean | null} clock_synchronised
 * @property {string | null} [silenced_at]
 * @property {string | null} [silenced_until]
 * @property {string | null} [silenced_by]
 * @property {string | null} [escalated_to]
 * @property {string | null} [escalated_at]
 */

/** Dispatches `change`, and `news` with {kind, alert} for what happened while the page was watching. */
export class Alerts extends EventTarget {
  /** There are open alerts that this page does not hold, for they are too many. */
  more = false;
  loaded = false;
  /** @type {Map<string, Alert>} */
  #alerts = new Map();
  /** The last event heard of each alert, for the clock may be set back but the journal's sequence never is. @type {Map<string, number>} */
  #heard = new Map();
  #session;
  #load = 0;
  /** Events that came while a list was on its way. @type {string[] | null} */
  #waiting = null;

  /** @param {import("./session.js").Session} session */
  constructor(session) {
    super();
    this.#session = session;
  }

  /** Open alerts in the order people should act: unanswered first, then the most urgent, then the newest. */
  get open() {
    return [...this.#alerts.values()].filter((alert) => alert.state !== "cleared").sort(byUrgency);
  }

  /** What is over, the newest first. */
  get cleared() {
    const over = [...this.#alerts.values()].filter((alert) => alert.state === "cleared");
    return over.sort((a, b) => (b.cleared_at ?? b.updated_at).localeCompare(a.cleared_at ?? a.updated_at));
  }

  /** Open alerts that nobody has acknowledged, by priority. */
  get unanswered() {
    return this.open.filter(unanswered);
  }

  /** Load what stands, in full. Call it when the stream is open: events that come meanwhile are applied after. */
  async load() {
    const load = ++this.#load;
    this.#waiting ??= [];
    try {
      const pages = await Promise.all(WANTED.map((filter) => this.#session.json(`/v1/alerts?${filter}`)));
      if (load !== this.#load) return;
      this.more = pages.slice(0, -1).some((page) => page.next_cursor !== null);
      this.#alerts = new Map(pages.flatMap((page) => page.alerts).map((alert) => [alert.id, alert]));
      this.loaded = true;
      const waiting = this.#waiting ?? [];
      this.#waiting = null;
      for (const data of waiting) this.#apply(data);
      this.#changed();
    } finally {
      if (load === this.#load) this.#waiting = null;
    }
  }

  /** Take one event of the stream. @param {string} data an AlertEvent as JSON */
  take(data) {
    if (this.#waiting !== null) this.#waiting.push(data);
    else if (this.#apply(data)) this.#changed();
  }

  /**
   * Acknowledge at the device; the page changes when the device has it in its journal.
   * @param {string} id
   */
  async acknowledge(id) {
    const told = await this.#session.json(`/v1/alerts/${encodeURIComponent(id)}/acknowledge`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
    });
    if (this.#keep(told.alert ?? told, told.sequence)) this.#changed();
  }

  /**
   * Let an alert call nobody for a while (0: let it call again).
   * @param {string} id
   * @param {number} for_s
   */
  async silence(id, for_s) {
    const told = await this.#session.json(`/v1/alerts/${encodeURIComponent(id)}/silence`, {
      method: for_s > 0 ? "POST" : "DELETE",
      headers: { "Content-Type": "application/json" },
      body: for_s > 0 ? JSON.stringify({ for_s }) : null,
    });
    if (this.#keep(told.alert ?? told, told.sequence)) this.#changed();
  }

  /** Forget everything, at sign-out. */
  clear() {
    this.#load += 1;
    this.#waiting = null;
    this.#alerts.clear();
    this.#heard.clear();
    this.loaded = false;
    this.#changed();
  }

  /** @param {string} data */
  #apply(data) {
    const { kind, alert, sequence } = JSON.parse(data);
    if (!this.#keep(alert, sequence)) return false;
    this.dispatchEvent(new CustomEvent("news", { detail: { kind, alert } }));
    return true;
  }

  /** @param {Alert} alert @param {number | undefined} sequence @returns {boolean} false where the page knows better */
  #keep(alert, sequence = 0) {
    if (typeof alert?.id !== "string" || sequence < (this.#heard.get(alert.id) ?? 0)) return false;
    this.#alerts.set(alert.id, alert);
    this.#heard.set(alert.id, sequence);
    return true;
  }

  #changed() {
    const tooMany = this.open.slice(2 * MAX_OPEN);
    this.more ||= tooMany.length > 0;
    for (const alert of [...tooMany, ...this.cleared.slice(MAX_CLEARED)]) this.#alerts.delete(alert.id);
    for (const id of this.#heard.keys()) if (!this.#alerts.has(id)) this.#heard.delete(id);
    this.dispatchEvent(new Event("change"));
  }
}

/** It calls nobody now, for a person wants it so; a clock set back ends that. @param {Alert} alert @param {number} now_ms */
export function silenced(alert, now_ms) {
  if (!alert.silenced_at || !alert.silenced_until) return false;
  return Date.parse(alert.silenced_at) <= now_ms + 1000 && now_ms < Date.parse(alert.silenced_until);
}

/** Nobody has acknowledged it, and somebody should. @param {Alert} alert */
export function unanswered(alert) {
  return alert.state === "raised" || alert.state === "latched";
}

/** @param {Alert} a @param {Alert} b */
function byUrgency(a, b) {
  return (
    Number(unanswered(b)) - Number(unanswered(a)) ||
    rank(a.priority) - rank(b.priority) ||
    b.raised_at.localeCompare(a.raised_at)
  );
}
