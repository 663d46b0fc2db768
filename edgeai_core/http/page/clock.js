/** The device's wall clock, told by the Date header of its answers: ages are by it, not by this screen's clock. */

const STEP_MS = 1500;

export class DeviceClock {
  /** @type {number | null} */
  #offset_ms = null;

  /** The device has answered and this screen can show its time. */
  get known() {
    return this.#offset_ms !== null;
  }

  /** Milliseconds since 1970 by the device's clock; by this screen's until the device has answered. */
  now_ms() {
    return this.#offset_ms === null ? Date.now() : performance.now() + this.#offset_ms;
  }

  /**
   * Hear the device's time. The header is cut to whole seconds and comes late, so the greatest offset
   * heard is the nearest; a smaller one counts only when the clock itself was set back.
   * @param {string | null} date
   */
  hear(date) {
    const heard_ms = date === null ? Number.NaN : Date.parse(date);
    if (Number.isNaN(heard_ms)) return;
    const offset_ms = heard_ms - performance.now();
    if (this.#offset_ms === null || offset_ms > this.#offset_ms || offset_ms < this.#offset_ms - STEP_MS) {
      this.#offset_ms = offset_ms;
    }
  }
}
