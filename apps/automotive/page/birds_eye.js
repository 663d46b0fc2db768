/** The scene from above, drawn on a canvas: the ego at the bottom, what lies ahead over it. */

/** @typedef {{id: number, kind: string, x_m: number, y_m: number, vx_mps: number, vy_mps: number, yaw_rad: number, length_m: number, width_m: number, ellipse: [number, number, number], existence: number, confirmed: boolean}} Track */
/** @typedef {{x_m: number, y_m: number, yaw_rad: number, speed_mps: number}} Ego */
/** @typedef {{ego: Ego, tracks: Track[], sensors: Record<string, string[]>, sensors_lost: string[]}} Seen */
/** @typedef {{x_m: number[], y_m: number[], lane_width_m?: number, lanes_left?: number, lanes_right?: number}} Route */
/** @typedef {{x_m: number[], y_m: number[], manoeuvre: string, reason: string, safe_stop: boolean, route?: Route}} Plan */

const BEHIND_M = 12;
const AHEAD_M = 70;
const RING_M = 10;
const EGO_M = { rear: -0.9, front: 3.7, half: 0.95 };

export const KINDS = ["car", "truck", "pedestrian", "cyclist", "unknown"];

export class BirdsEye {
  #canvas;
  #pen;
  #scale = 1;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  }

  /** Draw what is seen, the plan and the stage of the brake; each may be missing. @param {Seen | null} seen @param {Plan | null} plan @param {string} stage */
  draw(seen, plan, stage) {
    const { width, height } = this.#fit();
    this.#scale = height / (AHEAD_M + BEHIND_M);
    const ratio = devicePixelRatio;
    this.#pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#pen.clearRect(0, 0, width, height);
    this.#rings(width, height);
    if (seen === null) return;
    if (plan?.route) this.#lanes(plan.route, seen.ego);
    if (plan) this.#path(plan, seen.ego);
    this.#ego(stage);
    for (const track of seen.tracks) this.#track(track);
  }

  /** Place of a point of the vehicle frame on the canvas, in CSS pixels. @param {number} x_m @param {number} y_m @returns {[number, number]} */
  place(x_m, y_m) {
    const { clientWidth, clientHeight } = this.#canvas;
    return [clientWidth / 2 - y_m * this.#scale, clientHeight - (x_m + BEHIND_M) * this.#scale];
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const [columns, rows] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
    if (this.#canvas.width !== columns || this.#canvas.height !== rows) {
      this.#canvas.width = columns;
      this.#canvas.height = rows;
    }
    return { width, height };
  }

  /** @param {string} name */
  #colour(name) {
    return resolved(this.#canvas, `--road-${name}`);
  }

  /** @param {number} width @param {number} height */
  #rings(width, height) {
    const pen = this.#pen;
    const [x, y] = this.place(0, 0);
    pen.strokeStyle = this.#colour("grid");
    pen.fillStyle = this.#colour("soft");
    pen.font = "11px system-ui, sans-serif";
    pen.lineWidth = 1;
    for (let ring_m = RING_M; ring_m <= AHEAD_M + RING_M; ring_m += RING_M) {
      pen.beginPath();
      pen.arc(x, y, ring_m * this.#scale, 0, 2 * Math.PI);
      pen.stroke();
      if (ring_m % (2 * RING_M) === 0 && ring_m < AHEAD_M) pen.fillText(`${ring_m} m`, x + 4, y - ring_m * this.#scale - 3);
    }
  }

  /** @param {Route} route @param {Ego} ego */
  #lanes(route, ego) {
    const wide = route.lane_width_m ?? 3.5;
    const [left, right] = [route.lanes_left ?? 0, route.lanes_right ?? 0];
    this.#pen.strokeStyle = this.#colour("lane");
    this.#pen.lineWidth = 1.5;
    for (let line = -right - 0.5; line <= left + 0.5; line += 1) {
      const edge = line === -right - 0.5 || line === left + 0.5;
      this.#pen.setLineDash(edge ? [] : [8, 8]);
      this.#line(beside(route.x_m, route.y_m, line * wide).map(([x_m, y_m]) => into(ego, x_m, y_m)));
    }
    this.#pen.setLineDash([]);
  }

  /** @param {Plan} plan @param {Ego} ego */
  #path(plan, ego) {
    this.#pen.strokeStyle = this.#colour(plan.safe_stop ? "brake" : "path");
    this.#pen.lineWidth = 4;
    this.#pen.lineCap = "round";
    this.#line(plan.x_m.map((x_m, at) => into(ego, x_m, plan.y_m[at])));
  }

  /** @param {[number, number][]} points in the vehicle frame */
  #line(points) {
    const pen = this.#pen;
    pen.beginPath();
    points.forEach(([x_m, y_m], at) => {
      const [x, y] = this.place(x_m, y_m);
      if (at === 0) pen.moveTo(x, y);
      else pen.lineTo(x, y);
    });
    pen.stroke();
  }

  /** @param {string} stage */
  #ego(stage) {
    const middle = (EGO_M.front + EGO_M.rear) / 2;
    this.#pen.fillStyle = this.#colour(stage === "none" ? "ego" : "brake");
    this.#box(middle, 0, 0, EGO_M.front - EGO_M.rear, 2 * EGO_M.half);
    this.#pen.fill();
  }

  /** @param {Track} track */
  #track(track) {
    const pen = this.#pen;
    const colour = this.#colour(KINDS.includes(track.kind) ? track.kind : "unknown");
    pen.globalAlpha = track.confirmed ? 1 : 0.45;
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 2;
    this.#box(track.x_m, track.y_m, track.yaw_rad, Math.max(track.length_m, 0.4), Math.max(track.width_m, 0.4));
    pen.stroke();
    pen.globalAlpha *= 0.28;
    pen.fill();
    pen.globalAlpha = track.confirmed ? 0.8 : 0.4;
    this.#ellipse(track);
    this.#arrow(track);
    const [x, y] = this.place(track.x_m, track.y_m);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = this.#colour("ink");
    if (track.confirmed) pen.fillText(`${track.id}  ${Math.round(3.6 * Math.hypot(track.vx_mps, track.vy_mps))} km/h`, x + 8, y - 8);
    pen.globalAlpha = 1;
  }

  /** The 95 % ellipse of its position. @param {Track} track */
  #ellipse(track) {
    const [x, y] = this.place(track.x_m, track.y_m);
    const [long_m, short_m, turn_rad] = track.ellipse;
    this.#pen.lineWidth = 1;
    this.#pen.setLineDash([3, 3]);
    this.#pen.beginPath();
    // x forward is up on the canvas and y left is left: a turn to the left is a turn to the left here too
    this.#pen.ellipse(x, y, limited(long_m) * this.#scale, limited(short_m) * this.#scale, -Math.PI / 2 - turn_rad, 0, 2 * Math.PI);
    this.#pen.stroke();
    this.#pen.setLineDash([]);
  }

  /** Where it will be in one second. @param {Track} track */
  #arrow(track) {
    if (Math.hypot(track.vx_mps, track.vy_mps) < 0.5) return;
    this.#pen.lineWidth = 2;
    this.#line([
      [track.x_m, track.y_m],
      [track.x_m + track.vx_mps, track.y_m + track.vy_mps],
    ]);
  }

  /** @param {number} x_m @param {number} y_m @param {number} yaw_rad @param {number} length_m @param {number} width_m */
  #box(x_m, y_m, yaw_rad, length_m, width_m) {
    const [cos, sin] = [Math.cos(yaw_rad), Math.sin(yaw_rad)];
    this.#pen.beginPath();
    for (const [along, across] of [[1, 1], [-1, 1], [-1, -1], [1, -1]]) {
      const [a, b] = [(along * length_m) / 2, (across * width_m) / 2];
      const [x, y] = this.place(x_m + a * cos - b * sin, y_m + a * sin + b * cos);
      this.#pen.lineTo(x, y);
    }
    this.#pen.closePath();
  }
}

/** From the odometry frame into the ego's. @param {Ego} ego @param {number} x_m @param {number} y_m @returns {[number, number]} */
export function into(ego, x_m, y_m) {
  const [cos, sin] = [Math.cos(ego.yaw_rad), Math.sin(ego.yaw_rad)];
  const [dx, dy] = [x_m - ego.x_m, y_m - ego.y_m];
  return [cos * dx + sin * dy, cos * dy - sin * dx];
}

/** A line moved to its left. @param {number[]} x @param {number[]} y @param {number} left_m @returns {[number, number][]} */
function beside(x, y, left_m) {
  return x.map((_, at) => {
    const [a, b] = [Math.max(0, at - 1), Math.min(x.length - 1, at + 1)];
    const [dx, dy] = [x[b] - x[a], y[b] - y[a]];
    const length = Math.hypot(dx, dy) || 1;
    return [x[at] - (left_m * dy) / length, y[at] + (left_m * dx) / length];
  });
}

/** @param {number} metres */
function limited(metres) {
  return Math.min(Math.max(metres || 0, 0), 40);
}

/** The colour that a custom property means here and now, light or dark. @param {Element} element @param {string} name */
function resolved(element, name) {
  const probe = /** @type {HTMLElement} */ (element.parentElement);
  probe.style.color = `var(${name})`;
  const colour = getComputedStyle(probe).color;
  probe.style.color = "";
  return colour;
}
