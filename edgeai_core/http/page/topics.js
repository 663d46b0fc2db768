/** Live topics: one stream for all that panels and tiles draw, open only while somebody can see the page. */

import { Stream } from "./stream.js";

/** @typedef {(data: any, time_ns: number) => void} Callback */

export class Topics {
  /** @type {Map<string, Set<Callback>>} */
  #callbacks = new Map();
  #wanted = false;
  #queued = false;

  /**
   * @param {import("./session.js").Session} session
   * @param {() => void} onState
   */
  constructor(session, onState) {
    this.stream = new Stream({
      path: () => `/v1/live/stream?${new URLSearchParams([...this.#callbacks.keys()].map((topic) => ["topics", topic]))}`,
      fetch: (path, options) => session.fetch(path, options),
      onOpen: () => {},
      onEvent: ({ type, data }) => type === "live" && this.#hand(data),
      onState,
    });
    document.addEventListener("visibilitychange", () => this.#connect());
  }

  start() {
    this.#wanted = true;
    this.#connect();
  }

  stop() {
    this.#wanted = false;
    this.#connect();
  }

  /** Forget every subscriber. */
  clear() {
    this.#callbacks.clear();
  }

  /** @param {string} topic @param {Callback} callback @returns {() => void} ends the subscription */
  subscribe(topic, callback) {
    const callbacks = this.#callbacks.get(topic) ?? new Set();
    callbacks.add(callback);
    if (!this.#callbacks.has(topic)) {
      this.#callbacks.set(topic, callbacks);
      this.#connect();
    }
    return () => {
      callbacks.delete(callback);
      if (callbacks.size === 0 && this.#callbacks.get(topic) === callbacks) {
        this.#callbacks.delete(topic);
        this.#connect();
      }
    };
  }

  /** Follow what is wanted; several changes at once make one connection. */
  #connect() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (this.#wanted && !document.hidden && this.#callbacks.size > 0) this.stream.start();
      else if (this.stream.state.is !== "off") this.stream.stop();
    });
  }

  /** @param {string} text */
  #hand(text) {
    const { topic, time_ns, data } = JSON.parse(text);
    for (const callback of this.#callbacks.get(topic) ?? []) {
      try {
        callback(data, time_ns);
      } catch (error) {
        console.error(`a panel failed on ${topic}:`, error); // one panel must not silence the others
      }
    }
  }
}
