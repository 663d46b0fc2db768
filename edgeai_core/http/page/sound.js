/** The auditory alarm signal for unanswered high-priority alerts; off until a person turns it on. */

import { silenced } from "./alerts.js";
import { setText } from "./dom.js";

// IEC 60601-1-8, table 3: a high-priority burst is ten pulses, three and two, twice; 150 ms pulses here,
// with harmonics, repeated every 2.5 s to 15 s.
const PULSE_S = 0.15;
const STARTS_S = [0, 0.25, 0.5, 0.95, 1.2, 1.95, 2.2, 2.45, 2.9, 3.15];
const REPEAT_MS = 10_000;
const PITCHES_HZ = [523.25, 1046.5, 1569.75, 2093];
const LOUDNESS = 0.08;

/**
 * @param {HTMLElement} button turns the sound on and off
 * @param {import("./alerts.js").Alerts} alerts
 * @param {import("./clock.js").DeviceClock} clock
 */
export function mountSound(button, alerts, clock) {
  /** @type {AudioContext | null} */
  let audio = null;
  let timer = 0;

  const needed = () => alerts.unanswered.some((alert) => alert.priority === "high" && !silenced(alert, clock.now_ms()));
  const follow = () => {
    const wanted = audio !== null && needed();
    if (wanted === timer > 0) return;
    clearInterval(timer);
    timer = wanted ? setInterval(sound, REPEAT_MS) : 0;
    if (wanted) sound();
  };
  const sound = () => audio !== null && burst(audio);
  button.addEventListener("click", async () => {
    if (audio === null) audio = new AudioContext();
    else {
      await audio.close();
      audio = null;
    }
    button.setAttribute("aria-pressed", String(audio !== null));
    setText(button, audio === null ? "Sound off" : "Sound on");
    follow();
  });
  alerts.addEventListener("change", follow);
  setInterval(follow, 1000); // a silence ends by itself
}

/** @param {AudioContext} audio */
function burst(audio) {
  for (const start_s of STARTS_S) {
    for (const [harmonic, hz] of PITCHES_HZ.entries()) {
      const at = audio.currentTime + start_s;
      const tone = new OscillatorNode(audio, { frequency: hz });
      const gain = new GainNode(audio, { gain: 0 });
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(LOUDNESS / (harmonic + 1), at + 0.02);
      gain.gain.setValueAtTime(LOUDNESS / (harmonic + 1), at + PULSE_S - 0.02);
      gain.gain.linearRampToValueAtTime(0, at + PULSE_S);
      tone.connect(gain).connect(audio.destination);
      tone.start(at);
      tone.stop(at + PULSE_S);
    }
  }
}
