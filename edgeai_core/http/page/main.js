/** The live page: who looks, what stands, what the device says from now on. */

import { AlertList } from "./alert_list.js";
import { Alerts } from "./alerts.js";
import { DeviceClock } from "./clock.js";
import { mountConnection } from "./connection.js";
import { byId, setText } from "./dom.js";
import { Loops } from "./loops.js";
import { Panels } from "./panels.js";
import { mountPicture } from "./picture.js";
import { Session, mountSignIn } from "./session.js";
import { mountSound } from "./sound.js";
import { Stream } from "./stream.js";
import { mountTheme } from "./theme.js";
import { Topics } from "./topics.js";

const RETRY_MS = 3000;

const clock = new DeviceClock();
const session = new Session(clock);
const alerts = new Alerts(session);
let showConnection = () => {};
const stream = new Stream({
  path: () => "/v1/alerts/stream",
  fetch: (path, options) => session.fetch(path, options),
  onOpen: () => alerts.load(),
  onEvent: ({ type, data }) => {
    if (type === "alert") alerts.take(data);
    else if (type === "reset") alerts.load().catch(() => stream.start()); // what was missed is no longer there
  },
  onState: () => showConnection(),
});
const topics = new Topics(session, () => showConnection());
const subscribe = topics.subscribe.bind(topics);
const loops = new Loops(session, subscribe);
const panels = new Panels(session, {
  subscribe,
  picture: (element, topic, alt) => mountPicture(element, subscribe, topic, alt),
  fetch: (path, options) => session.fetch(path, options),
  now_ms: () => clock.now_ms(),
});
showConnection = mountConnection(stream, topics.stream, clock);
new AlertList(alerts, session, clock);
mountSignIn(session);
mountTheme(byId("theme"));
mountSound(byId("sound"), alerts, clock);

session.addEventListener("change", show);
addEventListener("pagehide", () => {
  stream.stop();
  topics.stop();
});
addEventListener("pageshow", (event) => event.persisted && show());
void begin();

/** Ask who this is until the device answers. */
async function begin() {
  try {
    await session.refresh();
  } catch {
    byId("unreachable").hidden = false;
    setTimeout(begin, RETRY_MS);
  }
}

/** Show all to those who may look, and nothing to those who may not. */
function show() {
  const { signedIn, canLeave, name, role } = session.who;
  byId("unreachable").hidden = true;
  byId("sign-in").hidden = signedIn;
  byId("content").hidden = !signedIn;
  byId("sign-out").hidden = !canLeave;
  byId("session-ended").hidden = !session.ended;
  setText(byId("who"), signedIn ? [name, role].filter(Boolean).join(", ") : "");
  if (!signedIn) {
    for (const part of [stream, topics, loops]) part.stop();
    for (const part of [alerts, panels, loops, topics]) part.clear();
    for (const region of ["assertive", "polite"]) byId(region).replaceChildren();
    byId("token").focus();
    return;
  }
  stream.start();
  topics.start();
  loops.start();
  startPanels();
}

function startPanels() {
  panels.start().catch(() => setTimeout(() => session.who.signedIn && startPanels(), RETRY_MS));
}
