/** One alert on the page: priority, what and where, who answered when, its evidence, and the button to acknowledge. */

import { silenced, unanswered } from "./alerts.js";
import { h, setText } from "./dom.js";
import { plain, span, timeOfDay, words } from "./format.js";
import { symbol, word } from "./priority.js";

/** @typedef {import("./alerts.js").Alert} Alert */

const SILENCE_S = 120; // what a site allows a high priority by default; IEC 60601-1-8: audio paused

const LOOK_AGAIN_MS = 3000;

export class AlertRow {
  /** @type {Alert} */
  #alert;
  #shown = "";
  #age = h("span", { class: "age" });
  #failure = h("p", { class: "failure", role: "alert" });
  #recording = h("p", { class: "recording" });
  #picture = h("p", { class: "picture", hidden: "" });
  #facts;
  #details;
  #now_ms;
  #alerts;
  #quiet;

  /**
   * @param {Alert} alert
   * @param {{acknowledge: (id: string) => Promise<void>, silence: (id: string, for_s: number) => Promise<void>}} alerts
   * @param {() => number} now_ms
   */
  constructor(alert, alerts, now_ms) {
    this.#alert = alert;
    this.#alerts = alerts;
    this.#now_ms = now_ms;
    this.element = h("li", { class: "alert", id: `alert-${alert.id}`, tabindex: "-1" });
    this.button = /** @type {HTMLButtonElement} */ (h("button", { type: "button", class: "acknowledge" }));
    this.button.addEventListener("click", () => this.acknowledge());
    this.#quiet = /** @type {HTMLButtonElement} */ (h("button", { type: "button", class: "silence" }));
    this.#quiet.addEventListener("click", () => this.#silence());
    this.#facts = h("dl");
    this.#details = h("details", { class: "evidence" }, h("summary", {}, "Evidence"), this.#picture, this.#facts, this.#recording);
    this.#details.addEventListener("toggle", () => {
      this.#showPicture();
      this.#showRecording();
    });
  }

  get alert() {
    return this.#alert;
  }

  /** Show the alert as it stands now. @param {Alert} alert @param {boolean} mayAcknowledge */
  show(alert, mayAcknowledge) {
    const shown = JSON.stringify([alert, mayAcknowledge]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#alert = alert;
    const open = unanswered(alert);
    this.element.dataset.priority = alert.priority;
    this.element.dataset.state = alert.state;
    this.element.classList.toggle("unanswered", open);
    this.button.hidden = !open;
    this.button.disabled = !mayAcknowledge;
    this.#quiet.hidden = !open;
    this.#quiet.disabled = !mayAcknowledge;
    this.button.title = mayAcknowledge ? "" : "Needs the role of an operator";
    setText(this.button, "Acknowledge");
    this.button.setAttribute("aria-label", `Acknowledge: ${heading(alert)}`);
    this.element.replaceChildren(
      h("p", { class: "priority" }, symbol(alert.priority), h("span", {}, word(alert.priority))),
      h(
        "div",
        { class: "what" },
        h("h3", {}, alert.title || alert.code),
        h("p", { class: "where" }, ...where(alert)),
        h("p", { class: "story" }, ...this.#story(alert)),
      ),
      h("div", { class: "foot" }, this.#evidence(alert), this.#quiet, this.button, this.#failure),
    );
    this.tick();
  }

  /** Let the age run on. */
  tick() {
    const { raised_at, cleared_at } = this.#alert;
    const until_ms = cleared_at === null ? this.#now_ms() : Date.parse(cleared_at);
    setText(this.#age, span(until_ms - Date.parse(raised_at)));
    const quiet = silenced(this.#alert, this.#now_ms());
    const left_ms = quiet ? Date.parse(this.#alert.silenced_until ?? "") - this.#now_ms() : 0;
    setText(this.#quiet, quiet ? `Silenced ${span(left_ms)}` : `Silence ${SILENCE_S / 60} min`);
    this.#quiet.setAttribute("aria-pressed", String(quiet));
    this.#quiet.setAttribute("aria-label", `${quiet ? "End the silence of" : "Silence for two minutes"}: ${heading(this.#alert)}`);
    this.element.classList.toggle("silenced", quiet);
  }

  async #silence() {
    if (this.#quiet.disabled || this.#quiet.ariaBusy === "true") return;
    this.#quiet.ariaBusy = "true";
    setText(this.#failure, "");
    try {
      await this.#alerts.silence(this.#alert.id, silenced(this.#alert, this.#now_ms()) ? 0 : SILENCE_S);
    } catch (error) {
      setText(this.#failure, `Not silenced: ${/** @type {Error} */ (error).message}`);
    } finally {
      this.#quiet.ariaBusy = "false";
    }
  }

  /** Ask the device to acknowledge; says so in the row where it cannot. */
  async acknowledge() {
    if (this.button.hidden || this.button.disabled || this.button.ariaBusy === "true") return;
    this.button.ariaBusy = "true";
    setText(this.button, "Acknowledging …");
    setText(this.#failure, "");
    try {
      await this.#alerts.acknowledge(this.#alert.id);
    } catch (error) {
      setText(this.#failure, `Not acknowledged: ${/** @type {Error} */ (error).message}`);
    } finally {
      this.button.ariaBusy = "false";
      setText(this.button, "Acknowledge");
    }
  }

  /** @param {Alert} alert */
  #story(alert) {
    const now_ms = this.#now_ms();
    const at = (/** @type {string} */ moment) => h("time", { datetime: moment }, timeOfDay(moment, now_ms));
    const parts = ["Raised ", at(alert.raised_at)];
    if (alert.state === "cleared") parts.push(", over ", at(alert.cleared_at ?? alert.updated_at), " after ", this.#age);
    else parts.push(", ", this.#age, " ago");
    if (alert.state === "latched") parts.push("; ", h("strong", {}, "no longer true"), ", stays until it is acknowledged");
    if (alert.escalated_to) parts.push(". Escalated to ", h("strong", {}, alert.escalated_to), " ", at(alert.escalated_at ?? alert.updated_at));
    if (alert.acknowledged_at !== null) {
      parts.push(". Acknowledged ", at(alert.acknowledged_at), " by ", h("strong", {}, alert.acknowledged_by ?? "unknown"));
    } else if (alert.state === "cleared") parts.push(". Not acknowledged");
    return [...parts, "."];
  }

  /** Show the picture that the evidence names, where the device has kept it: it too comes some seconds after the alert. */
  #showPicture() {
    const src = picture(this.#alert);
    if (src === null || this.#picture.dataset.src === src || !this.#isOpen()) return;
    const image = /** @type {HTMLImageElement} */ (h("img", { alt: `Picture of ${heading(this.#alert)}`, src }));
    image.addEventListener("load", () => {
      this.#picture.dataset.src = src;
      this.#picture.hidden = false;
      this.#picture.replaceChildren(h("a", { href: src, target: "_blank" }, image));
    });
    image.addEventListener("error", () => setTimeout(() => this.#showPicture(), LOOK_AGAIN_MS));
  }

  #isOpen() {
    return /** @type {HTMLDetailsElement} */ (this.#details).open && this.element.isConnected;
  }

  /** Link the recorded time around the alert, where the device has kept it: it comes some seconds after the alert. */
  async #showRecording() {
    if (!this.#isOpen()) return;
    const answer = await fetch(`/v1/alerts/${this.#alert.id}`, { credentials: "same-origin" }).catch(() => null);
    const href = answer?.ok ? (await answer.json()).recording : null;
    if (!href) setTimeout(() => this.#showRecording(), LOOK_AGAIN_MS);
    this.#recording.replaceChildren(...(href ? [h("a", { href, download: `${this.#alert.id}.mcap` }, "Recording of the time around it (MCAP)")] : []));
  }

  /** @param {Alert} alert */
  #evidence(alert) {
    const shown = picture(alert) === null ? [] : ["picture"];
    const entries = Object.entries(alert.evidence ?? {}).filter(([key]) => !shown.includes(key)).slice(0, 40);
    const facts = [["code", alert.code], ["alert", alert.id], ...entries.map(([key, value]) => [words(key), plain(value)])];
    if (alert.clock_synchronised === false) facts.push(["clock", "not synchronised when this was raised"]);
    this.#facts.replaceChildren(...facts.flatMap(([term, fact]) => [h("dt", {}, term), h("dd", {}, fact)]));
    return this.#details;
  }
}

/** The alert in one line, for those who hear it. @param {Alert} alert */
export function heading(alert) {
  return `${alert.title || alert.code}, ${alert.subject}`;
}

/** Where the picture that the evidence names is: a path of this device, the alert's id in place of {alert}. @param {Alert} alert */
function picture(alert) {
  const path = alert.evidence?.picture;
  return typeof path === "string" && /^\/v1\/[\w/{}-]+$/.test(path) ? path.replaceAll("{alert}", alert.id) : null;
}

/** @param {Alert} alert */
function where(alert) {
  const loop = alert.loop ? `${alert.app}.${alert.loop}` : alert.app;
  return [h("strong", {}, alert.subject), ` · ${loop} · `, h("span", { class: "device" }, alert.device)];
}
