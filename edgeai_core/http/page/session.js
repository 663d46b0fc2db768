/** Who looks at this page: the session with the device, and every request made in its name. */

import { byId, setText } from "./dom.js";

/** A request that the device refused, in the words of its problem document (RFC 9457). */
export class Refused extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @typedef {object} Who
 * @property {string | null} role viewer, operator, admin; null when nobody is signed in
 * @property {string | null} name
 * @property {boolean} signedIn a person may look
 * @property {boolean} canLeave there is a cookie to give back
 */

export class Session extends EventTarget {
  /** @type {Who} */
  who = { role: null, name: null, signedIn: false, canLeave: false };
  /** The device has ended the session; nobody here asked for it. */
  ended = false;
  #clock;
  #asked = false;

  /** @param {import("./clock.js").DeviceClock} clock */
  constructor(clock) {
    super();
    this.#clock = clock;
  }

  /** The role allows acknowledging. */
  get mayAcknowledge() {
    return this.who.role === "operator" || this.who.role === "admin";
  }

  /**
   * Ask the device, as this session.
   * @param {string} path
   * @param {RequestInit} [options]
   * @returns {Promise<Response>} Throws Refused for any status but 2xx, TypeError where the device is out of reach.
   */
  async fetch(path, options = {}) {
    const response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
    this.#clock.hear(response.headers.get("Date"));
    if (response.ok) return response;
    if (response.status === 401 && this.who.signedIn) {
      this.ended = true;
      this.#become({});
    }
    throw new Refused(response.status, await problem(response));
  }

  /** Ask for JSON. @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
  async json(path, options) {
    return (await this.fetch(path, options)).json();
  }

  /** Ask the device who this is; dispatches `change`. */
  async refresh() {
    try {
      this.#become(await this.json("/v1/session"));
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      this.#become({});
    }
  }

  /** Trade a token for a cookie. @param {string} token */
  async signIn(token) {
    const body = JSON.stringify({ token });
    await this.fetch("/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    this.ended = false;
    await this.refresh();
  }

  /** Give the cookie back. */
  async signOut() {
    await this.fetch("/v1/session", { method: "DELETE" });
    await this.refresh();
  }

  /** @param {Record<string, any>} told */
  #become(told) {
    const role = typeof told.role === "string" ? told.role : null;
    const name = typeof told.name === "string" ? told.name : null;
    const who = { role, name, signedIn: role !== null, canLeave: told.via === "cookie" };
    const changed = !this.#asked || JSON.stringify(who) !== JSON.stringify(this.who);
    this.#asked = true;
    this.who = who;
    if (changed) this.dispatchEvent(new Event("change"));
  }
}

/**
 * The sign-in form and the way out.
 * @param {Session} session
 */
export function mountSignIn(session) {
  const form = /** @type {HTMLFormElement} */ (byId("sign-in"));
  const field = /** @type {HTMLInputElement} */ (byId("token"));
  const failure = byId("sign-in-failure");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    setText(failure, "");
    try {
      await session.signIn(field.value.trim());
      field.value = "";
    } catch (error) {
      const unknown = error instanceof Refused && error.status === 401;
      setText(failure, unknown ? "This token is not known here, or was revoked." : `Not signed in: ${reason(error)}`);
      field.select();
    }
  });
  byId("sign-out").addEventListener("click", () => session.signOut().catch(() => session.refresh()));
}

/** Why a request failed, in a person's words. @param {unknown} error */
export function reason(error) {
  if (error instanceof Refused) return error.message;
  return error instanceof TypeError ? "the device does not answer" : String(error);
}

/** @param {Response} response */
async function problem(response) {
  try {
    const { title, detail } = await response.json();
    return [title, detail].filter((part) => typeof part === "string").join(": ") || `status ${response.status}`;
  } catch {
    return `status ${response.status}`;
  }
}
