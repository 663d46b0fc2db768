/** The verticals' own panels: ES modules that the device serves, each mounted in a frame of its own. */

import { byId, h } from "./dom.js";

/**
 * What a panel may use.
 * @typedef {object} PanelApi
 * @property {(topic: string, callback: (data: any, time_ns: number) => void) => () => void} subscribe
 *   live values of `<app>.<loop>/<topic>`; returns the way to end it
 * @property {(element: HTMLElement, topic: string, alt: string) => {image: HTMLImageElement, end: () => void}} picture
 *   an image that follows a live topic of pictures
 * @property {(path: string, options?: RequestInit) => Promise<Response>} fetch in the name of who is signed in
 * @property {() => number} now_ms the device's wall clock
 */

export class Panels {
  #session;
  #api;
  #shown = false;

  /** @param {import("./session.js").Session} session @param {PanelApi} api */
  constructor(session, api) {
    this.#session = session;
    this.#api = api;
  }

  /** Mount every panel of every app; once, for panels live as long as the page. */
  async start() {
    if (this.#shown) return;
    const { apps } = await this.#session.json("/v1/apps");
    this.#shown = true;
    const panels = apps.flatMap((/** @type {any} */ app) =>
      (app.panels ?? []).map((/** @type {any} */ panel) => ({ ...panel, app: app.name })),
    );
    await Promise.all(panels.map((/** @type {any} */ panel) => this.#mount(panel)));
  }

  /** Take every panel off the page, at sign-out. Their subscriptions end with `clear` of the live topics. */
  clear() {
    this.#shown = false;
    byId("panels").replaceChildren();
  }

  /** @param {{app: string, name: string, title: string, module: string}} panel */
  async #mount({ app, name, title, module }) {
    const id = `panel-${app}-${name}`;
    const body = h("div", { class: "panel-body" });
    byId("panels").append(h("section", { class: "panel", "aria-labelledby": id }, h("h2", { id }, title), body));
    try {
      const { mount } = await import(new URL(module, location.origin).href);
      await mount(body, this.#api);
    } catch (error) {
      body.replaceChildren(h("p", { class: "failure", role: "alert" }, `This panel did not start: ${/** @type {Error} */ (error).message}`));
    }
  }
}
