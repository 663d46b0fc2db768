/** The list of alerts: in the order of urgency, worked by pointer or keyboard, spoken to those who listen. */

import { AlertRow, heading } from "./alert_row.js";
import { byId, h } from "./dom.js";
import { PRIORITIES, symbol, word } from "./priority.js";

/** @type {Record<string, string>} */
const SAID = { raised: "raised", updated: "now more urgent", silenced: "silenced", unsilenced: "calls again", escalated: "escalated", latched: "no longer true", cleared: "over", acknowledged: "acknowledged" };

export class AlertList {
  /** @type {Map<string, AlertRow>} */
  #rows = new Map();
  #alerts;
  #session;
  #clock;
  #open = byId("open-alerts");
  #cleared = byId("cleared-alerts");

  /**
   * @param {import("./alerts.js").Alerts} alerts
   * @param {import("./session.js").Session} session
   * @param {import("./clock.js").DeviceClock} clock
   */
  constructor(alerts, session, clock) {
    this.#alerts = alerts;
    this.#session = session;
    this.#clock = clock;
    alerts.addEventListener("change", () => this.#show());
    alerts.addEventListener("news", (event) => this.#say(/** @type {CustomEvent} */ (event).detail));
    session.addEventListener("change", () => this.#show());
    byId("alerts").addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => {
      if (event.key === "F2" && this.#goToFirst()) event.preventDefault();
    });
    setInterval(() => this.#rows.forEach((row) => row.tick()), 1000);
    this.#show();
  }

  #show() {
    const { open, cleared, more, loaded } = this.#alerts;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const held = [...this.#rows.values()].find((row) => row.element.contains(focused));
    const known = new Set([...open, ...cleared].map((alert) => alert.id));
    for (const [id, row] of this.#rows) {
      if (known.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    this.#arrange(this.#open, open);
    this.#arrange(this.#cleared, cleared);
    byId("no-alerts").hidden = !loaded || open.length > 0;
    byId("past").hidden = cleared.length === 0;
    byId("more-alerts").hidden = !more;
    this.#summary();
    this.#keepFocus(held, focused);
  }

  /** @param {HTMLElement} list @param {import("./alerts.js").Alert[]} alerts */
  #arrange(list, alerts) {
    alerts.forEach((alert, at) => {
      let row = this.#rows.get(alert.id);
      if (row === undefined) {
        row = new AlertRow(alert, this.#alerts, () => this.#clock.now_ms());
        this.#rows.set(alert.id, row);
      }
      row.show(alert, this.#session.mayAcknowledge);
      if (list.children[at] !== row.element) list.insertBefore(row.element, list.children[at] ?? null);
    });
  }

  /** An element that moves loses the focus; a person who has just acknowledged goes on with the next alert. */
  #keepFocus(/** @type {AlertRow | undefined} */ held, /** @type {HTMLElement | null} */ focused) {
    if (held === undefined || focused === null) return;
    if (focused === held.button && held.button.hidden) this.#goToFirst() || held.element.focus();
    else if (document.activeElement !== focused) (focused.isConnected ? focused : byId("alerts")).focus();
  }

  #summary() {
    const unanswered = this.#alerts.unanswered;
    const counts = PRIORITIES.map((priority) => ({ priority, n: unanswered.filter((a) => a.priority === priority).length }));
    const shown = counts.filter(({ n }) => n > 0);
    byId("summary").replaceChildren(
      ...shown.map(({ priority, n }) =>
        h("span", { class: "count", "data-priority": priority }, symbol(priority), `${n} ${word(priority).toLowerCase()}`),
      ),
    );
    document.documentElement.dataset.worst = shown[0]?.priority ?? "";
    document.title = unanswered.length === 0 ? "EdgeAI" : `(${unanswered.length}) ${heading(unanswered[0])} – EdgeAI`;
  }

  /** @param {{kind: string, alert: import("./alerts.js").Alert}} news */
  #say({ kind, alert }) {
    const urgent = alert.priority === "high" && (kind === "raised" || kind === "updated");
    const text = `${word(alert.priority)} priority: ${heading(alert)}, ${SAID[kind] ?? kind}`;
    const region = byId(urgent ? "assertive" : "polite");
    region.append(h("p", {}, text));
    while (region.childElementCount > 3) region.firstElementChild?.remove();
  }

  /** Put the focus on the button of the most urgent unanswered alert, or on the alert where the role may not. */
  #goToFirst() {
    const first = this.#alerts.unanswered[0];
    const row = first && this.#rows.get(first.id);
    if (row === undefined) return false;
    (row.button.disabled ? row.element : row.button).focus();
    return true;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const rows = /** @type {HTMLElement[]} */ ([...byId("alerts").querySelectorAll(".alert")].filter((row) => row.checkVisibility()));
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step !== undefined && rows.length > 0) {
      rows[Math.max(0, Math.min(rows.length - 1, at + step))].focus();
      event.preventDefault();
    } else if (event.key === "a" && at >= 0) {
      const row = [...this.#rows.values()].find((row) => row.element === rows[at]);
      row?.button.focus();
      void row?.acknowledge();
    }
  }
}
