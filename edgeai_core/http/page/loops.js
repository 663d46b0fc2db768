/** A tile per loop: how fast and how late it runs, how old its data are, what it last decided, and whether it still lives. */

import { byId, h, setText } from "./dom.js";
import { microseconds, number, plain, significant, span, words } from "./format.js";

const POLL_MS = 2000;
const STALE_MS = 5000;
const MAX_FIELDS = 12;

/** @typedef {"running" | "degraded" | "fault" | "stopped" | "unheard"} LoopState */

const STATE_WORDS = { running: "Running", degraded: "Degraded", fault: "Fault", stopped: "Stopped", unheard: "Not heard" };

export class Loops {
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #session;
  #subscribe;
  #timer = 0;

  /**
   * @param {import("./session.js").Session} session
   * @param {(topic: string, callback: (data: any) => void) => () => void} subscribe
   */
  constructor(session, subscribe) {
    this.#session = session;
    this.#subscribe = subscribe;
  }

  start() {
    this.stop();
    const poll = async () => {
      try {
        this.#show((await this.#session.json("/v1/loops")).loops ?? []);
      } catch {
        // the connection's state is told elsewhere; here every tile grows stale by itself
      }
      for (const tile of this.#tiles.values()) tile.tick();
      if (this.#timer !== 0) this.#timer = setTimeout(poll, POLL_MS);
    };
    this.#timer = setTimeout(poll, 0);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  clear() {
    this.#show([]);
  }

  /** @param {Record<string, any>[]} loops */
  #show(loops) {
    const names = new Set(loops.map(({ app, loop }) => `${app}.${loop}`));
    for (const [name, tile] of this.#tiles) {
      if (names.has(name)) continue;
      tile.remove();
      this.#tiles.delete(name);
    }
    for (const statistics of loops) {
      const name = `${statistics.app}.${statistics.loop}`;
      let tile = this.#tiles.get(name);
      if (tile === undefined) {
        tile = new Tile(name);
        tile.leave = this.#subscribe(`${name}/cycle`, (cycle) => tile?.decide(cycle));
        this.#tiles.set(name, tile);
        byId("loop-tiles").append(tile.element);
      }
      tile.measure(statistics);
    }
    byId("no-loops").hidden = loops.length > 0;
  }
}

class Tile {
  leave = () => {};
  #state = h("p", { class: "state" });
  #cells = h("dl", { class: "measures" });
  #decision = h("dl", { class: "decision" }, h("dt", {}, "none seen yet"));
  #note = h("p", { class: "note" });
  /** @type {Record<string, any>} */
  #statistics = {};
  /** @type {Record<string, any> | null} */
  #cycle = null;
  #heard_ms = performance.now();

  /** @param {string} name */
  constructor(name) {
    const id = `loop-${name}`;
    this.element = h(
      "article",
      { class: "tile", "aria-labelledby": id },
      h("header", {}, h("h3", { id }, name), this.#state),
      h(
        "div",
        { class: "tile-body" },
        h("div", {}, this.#cells, this.#note),
        h("div", { class: "last" }, h("h4", {}, "Last decision"), this.#decision),
      ),
    );
  }

  remove() {
    this.leave();
    this.element.remove();
  }

  /** Take new statistics. @param {Record<string, any>} statistics */
  measure(statistics) {
    this.#heard_ms = performance.now();
    this.#statistics = statistics;
    this.#cells.replaceChildren(...this.#measures().flatMap(([term, value, also]) => [h("dt", {}, term), h("dd", {}, value, h("small", {}, also))]));
  }

  /** Take a cycle's summary. @param {Record<string, any>} cycle */
  decide(cycle) {
    this.#cycle = cycle;
    const fields = Object.entries(cycle.decision ?? {}).slice(0, MAX_FIELDS);
    const names = fields.map(([name]) => name).join();
    if (this.#decision.dataset.names !== names) {
      this.#decision.dataset.names = names;
      this.#decision.replaceChildren(...fields.flatMap(([name]) => [h("dt", {}, words(name)), h("dd")]));
    }
    const values = this.#decision.querySelectorAll("dd");
    fields.forEach(([, value], at) => setText(values[at], plain(value)));
  }

  /** Say how the loop stands now. */
  tick() {
    const [state, note] = this.#judge();
    this.element.dataset.state = state;
    setText(this.#state, STATE_WORDS[state]);
    setText(this.#note, note);
  }

  /** @returns {[LoopState, string]} the state and what a person should know of it */
  #judge() {
    const { alive, reason, level } = this.#statistics;
    const unheard_ms = performance.now() - this.#heard_ms;
    if (unheard_ms > STALE_MS) return ["unheard", `Nothing heard for ${span(unheard_ms)}: what stands here is old.`];
    if (alive === false) return ["stopped", `What stands here is old: ${reason ?? "it makes no progress"}.`];
    if (this.#cycle?.fault) return ["fault", `The fallback decides: ${plain(this.#cycle.fault)}`];
    if ((number(level) ?? 0) > 0) return ["degraded", `Degraded to level ${plain(level)} to hold its deadline.`];
    return ["running", ""];
  }

  /** @returns {[string, string, string][]} */
  #measures() {
    const s = this.#statistics;
    const rate = number(s.rate_hz);
    const target = number(s.target_rate_hz);
    const deadline_s = number(s.deadline_s);
    const age_ms = number(this.#cycle?.age_ms);
    return [
      ["Rate", rate === null ? "–" : `${significant(rate)} Hz`, target ? `of ${significant(target)} Hz` : ""],
      ["Age of data", microseconds(age_ms === null ? s.age_us?.p50 : age_ms * 1e3), `p99 ${microseconds(s.age_us?.p99)}`],
      ["Lateness", microseconds(s.lateness_us?.p50), `p99 ${microseconds(s.lateness_us?.p99)}`],
      ["Duration", microseconds(s.duration_us?.p50), deadline_s === null ? "" : `of ${microseconds(deadline_s * 1e6)}`],
      ["Missed", plain(s.missed_releases ?? 0), `${plain(s.overruns ?? 0)} overran`],
      ["Dropped", plain(s.dropped_samples ?? 0), s.faults === 1 ? "1 fault" : `${plain(s.faults ?? 0)} faults`],
    ];
  }
}
