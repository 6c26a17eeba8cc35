// Melodies as sound: the notes of symbols, and a button that plays them. Partials and envelope are those of the
// description, which Python's own synthesiser has too.

import { button, make } from "./elements.js";

const AHEAD = 0.15; // seconds for which notes are handed to the browser in advance
const LOOKING = 40; // milliseconds between looks at what comes next
const LOUDNESS = 0.6;

let speaker = null; // one for all, made when first somebody wants to hear something
let playing = null; // the player that plays

/** Notes of values in [0, 1]: start, stop and pitch, as `notes_of` in Python has them. */
export function notesOf(values, view) {
  const notes = [];
  let sounding = null;
  const end = (step) => {
    if (sounding) notes.push({ ...sounding, stop: step });
    sounding = null;
  };
  values.forEach((value, step) => {
    const symbol = Math.round(view.low + value * (view.high - view.low));
    if (symbol === 1) return; // nothing changes
    end(step);
    if (symbol >= view.first) sounding = { start: step, pitch: symbol - view.first + view.lowest };
  });
  end(values.length);
  return notes;
}

/**
 * A button that plays what was shown last, round and round, until it is pressed again.
 *
 * When something else is shown meanwhile, that is heard from the next note on. `progress` is called with the part of
 * the melody that is over, and with null at the end.
 */
export function melodyPlayer(view, name, progress) {
  const length = view.shape[0];
  const step = 15 / view.tempo; // seconds of a sixteenth
  let notes = [];
  let timer = null;
  let frame = null;
  let began = 0;
  let next = 0; // the sixteenth that is handed over next
  let voice = null; // the note that was handed over last

  const control = button("", () => (timer ? stop() : start()));

  function start() {
    playing?.stop();
    playing = player;
    speaker ??= new AudioContext();
    speaker.resume();
    began = speaker.currentTime + 0.06;
    next = 0;
    timer = setInterval(ahead, LOOKING);
    ahead();
    follow();
    tell(true);
  }

  function ahead() {
    const now = speaker.currentTime;
    if (began + next * step < now - 0.5) next = Math.ceil((now - began) / step); // the page was asleep
    for (; began + next * step < now + AHEAD; next++) {
      const note = notes.find(({ start: at }) => at === next % length);
      if (!note) continue;
      const at = Math.max(now, began + next * step);
      voice?.end(at);
      voice = soundNote(view, note.pitch, at, (note.stop - note.start) * step);
    }
  }

  function follow() {
    const over = (speaker.currentTime - began) / step;
    progress((Math.max(0, over) % length) / length);
    frame = requestAnimationFrame(follow);
  }

  function stop() {
    if (!timer) return;
    clearInterval(timer);
    cancelAnimationFrame(frame);
    timer = null;
    if (playing === player) playing = null;
    voice?.end(speaker.currentTime);
    voice = null;
    progress(null);
    tell(false);
  }

  function tell(on) {
    control.textContent = on ? "■ Stop" : "▶ Play";
    control.title = `${on ? "Stop" : "Play"} the ${name}`;
    control.setAttribute("aria-label", control.title);
  }

  tell(false);
  const player = {
    element: make("div", { class: "vk-bar vk-player" }, control),
    show(values) {
      notes = notesOf(values, view);
    },
    stop,
  };
  return player;
}

/** Sound one note; what comes back ends it early. */
function soundNote(view, pitch, at, seconds) {
  const { attack, release, fade } = view.envelope;
  const wave = speaker.createPeriodicWave(
    new Float32Array(view.partials.length + 1), Float32Array.of(0, ...view.partials), { disableNormalization: true },
  );
  const oscillator = speaker.createOscillator();
  oscillator.setPeriodicWave(wave);
  oscillator.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
  const [gain, cut] = [speaker.createGain(), speaker.createGain()];
  const most = LOUDNESS / view.partials.reduce((sum, a) => sum + a, 0);
  const curve = Float32Array.from({ length: 256 }, (_, i) => {
    const t = (i / 255) * seconds;
    const ramp = (part) => (1 - Math.cos(Math.PI * Math.min(1, Math.max(0, part)))) / 2;
    return most * Math.exp(-t / fade) * ramp(t / Math.min(attack, seconds / 2)) * ramp((seconds - t) / Math.min(release, seconds / 2));
  });
  gain.gain.setValueAtTime(0, 0);
  gain.gain.setValueCurveAtTime(curve, at, seconds);
  oscillator.connect(gain).connect(cut).connect(speaker.destination);
  oscillator.start(at);
  oscillator.stop(at + seconds);
  return {
    end(when) {
      cut.gain.setValueAtTime(1, when);
      cut.gain.linearRampToValueAtTime(0, when + 0.01);
    },
  };
}
