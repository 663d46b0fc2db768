/** How the page stands with the device, said in the bar when all is well and big when it is not. */

import { byId, setText } from "./dom.js";
import { timeOfDay } from "./format.js";

/** @typedef {import("./stream.js").Stream} Stream */

const QUIET_MS = 1500; // a blink while reconnecting is no news

/**
 * @param {Stream} alerts
 * @param {Stream} live
 * @param {import("./clock.js").DeviceClock} clock
 * @returns {() => void} call it whenever a stream's state changes
 */
export function mountConnection(alerts, live, clock) {
  let lost_ms = 0;
  const show = () => {
    const streams = [alerts, live].filter((stream) => stream.state.is !== "off");
    const lost = streams.find((stream) => stream.state.is === "lost");
    const open = streams.length > 0 && streams.every((stream) => stream.state.is === "open");
    lost_ms = open || streams.length === 0 ? 0 : lost_ms || performance.now();
    const big = lost !== undefined || (lost_ms > 0 && performance.now() - lost_ms > QUIET_MS);
    const state = open ? "live" : big ? "lost" : streams.length === 0 ? "off" : "connecting";
    document.documentElement.dataset.connection = state;
    setText(byId("connection"), { live: "Live", lost: "Stream lost", off: "Not connected", connecting: "Connecting" }[state]);
    byId("lost").hidden = state !== "lost";
    if (state !== "lost") return;
    const silent = streams.filter((stream) => stream.state.is !== "open");
    const heard_ms = Math.max(...silent.map((stream) => stream.heard_ms));
    setText(byId("lost-since"), heard_ms > 0 ? `Last heard ${timeOfDay(heard_ms, Date.now())}. ` : "");
    setText(byId("lost-why"), lost?.state.is === "lost" ? `Why: ${lost.state.why}. ` : "");
    const wait_s = lost?.state.is === "lost" ? Math.ceil((lost.state.retry_ms - performance.now()) / 1000) : 0;
    setText(byId("lost-next"), wait_s > 0 ? `Trying again in ${wait_s} s.` : "Trying again now.");
  };
  const retry = () => [alerts, live].forEach((stream) => stream.state.is === "lost" && stream.start());
  byId("retry").addEventListener("click", retry);
  addEventListener("online", retry);
  const time = /** @type {HTMLTimeElement} */ (byId("clock"));
  setInterval(() => {
    show();
    const now_ms = clock.now_ms();
    setText(time, clock.known ? timeOfDay(now_ms, now_ms) : "--:--:--");
    time.dateTime = new Date(now_ms).toISOString();
  }, 500);
  return show;
}
