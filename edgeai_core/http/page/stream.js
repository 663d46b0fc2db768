/** A server-sent event stream that knows how it stands: it notices silence, comes back, and goes on where it was. */

import { reason } from "./session.js";

const SILENCE_MS = 40_000; // the device sends a comment every 15 s
const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 15_000;
const MAX_BUFFERED = 4 * 1024 * 1024;

/**
 * @typedef {object} StreamEvent
 * @property {string} type
 * @property {string} data
 * @property {string} id the last id heard, empty where there was none
 */

/**
 * How a stream stands. `lost` carries when it will be tried again (by performance.now) and why it was lost.
 * @typedef {{is: "off" | "connecting" | "open" | "refused"} | {is: "lost", retry_ms: number, why: string}} StreamState
 */

/**
 * Why not EventSource: it hides the keep-alive comments and the status, so a dead line looks like a calm one.
 */
export class Stream {
  /** @type {StreamState} */
  state = { is: "off" };
  /** When something last came (Date.now), 0 for never. */
  heard_ms = 0;
  #lastId = "";
  #delay_ms = FIRST_DELAY_MS;
  #timer = 0;
  /** @type {AbortController | null} */
  #abort = null;

  /**
   * @param {object} given
   * @param {() => string} given.path asked anew at every connection
   * @param {(path: string, options: RequestInit) => Promise<Response>} given.fetch
   * @param {() => void | Promise<void>} given.onOpen where it fails, the stream is tried again later
   * @param {(event: StreamEvent) => void} given.onEvent
   * @param {() => void} given.onState
   */
  constructor(given) {
    this.given = given;
  }

  /** Connect, or connect again at once. */
  start() {
    this.#drop();
    this.#delay_ms = FIRST_DELAY_MS;
    this.#connect();
  }

  /** Leave, and forget where the stream was. */
  stop() {
    this.#drop();
    this.#lastId = "";
    this.#become({ is: "off" });
  }

  async #connect() {
    const abort = new AbortController();
    this.#abort = abort;
    if (this.state.is !== "lost") this.#become({ is: "connecting" });
    const alive = new Watchdog(SILENCE_MS, () => abort.abort(new TypeError("silence")));
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: "text/event-stream" };
      if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
      const response = await this.given.fetch(this.given.path(), { headers, signal: abort.signal });
      if (response.body === null) throw new TypeError("an answer without a body");
      this.#heard(alive);
      this.#become({ is: "open" });
      const ready = Promise.resolve(this.given.onOpen()).then(() => (this.#delay_ms = FIRST_DELAY_MS));
      await Promise.all([ready, this.#read(response.body.getReader(), alive)]);
    } catch (error) {
      if (this.#abort !== abort) return; // stopped or started anew by us
      const status = /** @type {{status?: number}} */ (error).status;
      if (status === 401 || status === 403) this.#become({ is: "refused" });
      else this.#retry(reason(error));
    } finally {
      alive.stop();
      abort.abort();
    }
  }

  /** @param {ReadableStreamDefaultReader<Uint8Array>} reader @param {Watchdog} alive @returns {Promise<never>} */
  async #read(reader, alive) {
    const decoder = new TextDecoder();
    const parser = new Parser((event) => {
      this.#lastId = event.id || this.#lastId;
      if (event.type === "reset") this.#lastId = "";
      this.given.onEvent(event);
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new TypeError("the device ended the stream");
      this.#heard(alive);
      parser.feed(decoder.decode(value, { stream: true }));
    }
  }

  /** @param {Watchdog} alive */
  #heard(alive) {
    this.heard_ms = Date.now();
    alive.feed();
  }

  /** @param {string} why */
  #retry(why) {
    const wait_ms = this.#delay_ms * (0.75 + Math.random() / 2); // many screens must not come back at once
    this.#delay_ms = Math.min(LAST_DELAY_MS, this.#delay_ms * 2);
    this.#become({ is: "lost", retry_ms: performance.now() + wait_ms, why });
    this.#timer = setTimeout(() => this.#connect(), wait_ms);
  }

  #drop() {
    clearTimeout(this.#timer);
    const abort = this.#abort;
    this.#abort = null;
    abort?.abort();
  }

  /** @param {StreamState} state */
  #become(state) {
    this.state = state;
    this.given.onState();
  }
}

/** The text/event-stream format (WHATWG HTML, section 9.2.6): lines in, events out. */
export class Parser {
  #rest = "";
  #id = "";
  #type = "";
  /** @type {string[]} */
  #data = [];
  #size = 0;

  /** @param {(event: StreamEvent) => void} onEvent */
  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  /** @param {string} text */
  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
    if (this.#rest.length + this.#size > MAX_BUFFERED) throw new RangeError("an event without an end");
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = this.#data.length === 0;
    this.#type = "";
    this.#data = [];
    this.#size = 0;
    if (!empty) this.onEvent(event);
  }
}

class Watchdog {
  #timer = 0;

  /** @param {number} limit_ms @param {() => void} onSilence */
  constructor(limit_ms, onSilence) {
    this.limit_ms = limit_ms;
    this.onSilence = onSilence;
    this.feed();
  }

  feed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.onSilence, this.limit_ms);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}
