/** The road panel: the scene from above, the camera with its boxes, the plan and the brake. */

import { h as make, loadStyle, setText as text } from "/dom.js";
import { BirdsEye, KINDS } from "./birds_eye.js";

const SEEN = "automotive.perception/seen";
const CAMERA = "automotive.perception/camera";
const PLAN = "automotive.planning/plan";
const BRAKE = "automotive.braking/brake";
const SILENT_MS = 1500;
const PICTURE_MS = 200;
const SPOKEN_MS = 5000; // how often, at most, the view's text alternative changes

/** @typedef {import("./birds_eye.js").Seen} Seen */
/** @typedef {import("./birds_eye.js").Plan} Plan */
/** @typedef {{stage: string, deceleration_mps2: number, reason: string}} Brake */

/**
 * @param {HTMLElement} element
 * @param {{subscribe: (topic: string, callback: (data: any) => void) => () => void, fetch: (path: string) => Promise<Response>}} api
 */
export async function mount(element, api) {
  await loadStyle(new URL("road.css", import.meta.url).href);
  const view = build(element);
  const above = new BirdsEye(view.canvas);
  /** @type {{seen: Seen | null, plan: Plan | null, brake: Brake | null}} */
  const now = { seen: null, plan: null, brake: null };
  let heard_ms = performance.now();
  let spoken_ms = -SPOKEN_MS;
  let due = true;

  const ends = [
    api.subscribe(SEEN, (/** @type {Seen} */ seen) => {
      heard_ms = performance.now();
      now.seen = seen;
      due = true;
    }),
    api.subscribe(PLAN, (/** @type {Plan} */ plan) => {
      now.plan = plan;
      due = true;
    }),
    api.subscribe(BRAKE, (/** @type {Brake} */ brake) => {
      now.brake = brake;
      due = true;
    }),
  ];
  const stop = pictures(view.camera, api);
  const redraw = () => {
    due = true;
  };
  const size = new ResizeObserver(redraw);
  size.observe(view.canvas);
  document.addEventListener("themechange", redraw);
  const ticking = setInterval(() => {
    const silent_ms = performance.now() - heard_ms;
    view.silence(silent_ms > SILENT_MS ? Math.floor(silent_ms / 1000) : 0);
    if (performance.now() - spoken_ms < SPOKEN_MS) return;
    spoken_ms = performance.now();
    view.canvas.setAttribute("aria-label", silent_ms > SILENT_MS || now.seen === null ? "View from above. No data." : spoken(now.seen, now.plan, now.brake));
  }, 500);
  const frame = () => {
    if (!view.canvas.isConnected) {
      for (const end of ends) end();
      stop();
      size.disconnect();
      clearInterval(ticking);
      document.removeEventListener("themechange", redraw);
      return;
    }
    if (due) {
      due = false;
      above.draw(now.seen, now.plan, now.brake?.stage ?? "none");
      view.show(now.seen, now.plan, now.brake);
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

/** Fetch the camera's latest picture again and again, one at a time. @param {HTMLImageElement} image @param {{fetch: (path: string) => Promise<Response>}} api @returns {() => void} the way to end it */
function pictures(image, api) {
  let stopped = false;
  const next = async () => {
    if (stopped) return;
    try {
      const answer = document.hidden ? null : await api.fetch(`/v1/live/${CAMERA}`);
      if (answer?.ok) {
        const url = URL.createObjectURL(await answer.blob());
        const before = image.src;
        image.src = url;
        image.hidden = false;
        if (before.startsWith("blob:")) URL.revokeObjectURL(before);
      }
    } catch {
      // the page says that the connection is lost; the next try may do
    }
    setTimeout(next, image.hidden ? 5 * PICTURE_MS : PICTURE_MS);
  };
  next();
  return () => {
    stopped = true;
  };
}

/** What the view shows, for those who cannot see it. @param {Seen} seen @param {Plan | null} plan @param {Brake | null} brake */
function spoken(seen, plan, brake) {
  const near = seen.tracks.filter((track) => track.confirmed).sort((a, b) => Math.hypot(a.x_m, a.y_m) - Math.hypot(b.x_m, b.y_m));
  const first = near[0];
  const parts = [`Own speed ${Math.round(3.6 * seen.ego.speed_mps)} kilometres an hour`, `${near.length} road users tracked`];
  if (first) parts.push(`nearest: ${first.kind}, ${Math.round(first.x_m)} metres ahead, ${Math.abs(Math.round(first.y_m))} ${first.y_m >= 0 ? "left" : "right"}`);
  if (plan) parts.push(`plan: ${plan.manoeuvre}`);
  if (brake && brake.stage !== "none") parts.push(`brake: ${brake.stage}`);
  if (seen.sensors_lost.length > 0) parts.push(`lost: ${seen.sensors_lost.join(", ")}`);
  return `${parts.join(", ")}.`;
}

/** @param {HTMLElement} element */
function build(element) {
  const canvas = make("canvas", { role: "img", "aria-label": "View from above. No data." });
  const silent = make("p", { class: "road-silent" }, "No data");
  const camera = make("img", { class: "road-camera", alt: "The camera's picture with the road users that were found", hidden: "" });
  const brake = make("p", { class: "road-brake", role: "status" }, "Brake: –");
  const facts = make("dl", { class: "road-facts" });
  const key = make(
    "ul",
    { class: "road-key", role: "list", "aria-label": "Colours" },
    ...[...KINDS, "path"].map((name) => {
      const item = make("li", {}, name === "path" ? "planned path" : name);
      item.style.setProperty("--colour", `var(--road-${name})`); // a style attribute is what the page's policy forbids
      return item;
    }),
  );
  element.replaceChildren(
    make("div", { class: "road" }, make("div", { class: "road-view" }, canvas, silent), make("div", { class: "road-side" }, camera, brake, facts, key)),
  );
  return {
    canvas,
    camera,
    /** @param {Seen | null} seen @param {Plan | null} plan @param {Brake | null} state */
    show(seen, plan, state) {
      brake.dataset.stage = state?.stage ?? "none";
      text(brake, state === null ? "Brake: –" : state.stage === "none" ? "Brake: released" : `Brake: ${state.stage}, ${state.deceleration_mps2.toFixed(1)} m/s²${state.reason ? ` (${state.reason})` : ""}`);
      const told = [
        ["speed", seen === null ? "–" : `${Math.round(3.6 * seen.ego.speed_mps)} km/h`],
        ["tracks", seen === null ? "–" : `${seen.tracks.filter((track) => track.confirmed).length} confirmed of ${seen.tracks.length}`],
        ["sensors", seen === null ? "–" : sensors(seen)],
        ["plan", plan === null ? "–" : plan.reason ? `${plan.manoeuvre}: ${plan.reason}` : plan.manoeuvre],
      ];
      if (facts.childElementCount !== told.length * 2) facts.replaceChildren(...told.flatMap(([term]) => [make("dt", {}, term), make("dd", {})]));
      facts.querySelectorAll("dd").forEach((fact, at) => text(fact, told[at][1]));
    },
    /** @param {number} silent_s 0 while data come */
    silence(silent_s) {
      silent.hidden = silent_s === 0;
      if (silent_s > 0) text(silent, `No data for ${silent_s} s`);
    },
  };
}

/** @param {Seen} seen */
function sensors(seen) {
  return Object.entries(seen.sensors)
    .map(([name, troubles]) => `${name} ${troubles.length > 0 ? troubles.join(" and ") : seen.sensors_lost.includes(name) ? "contradicted" : "well"}`)
    .join(", ");
}
