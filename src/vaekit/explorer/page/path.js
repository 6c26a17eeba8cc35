// The path between two points that were picked: a strip of what lies on it, and a film.

import { button, choice, download, make } from "./elements.js";
import { pathBetween } from "./maths.js";
import { newest } from "./remote.js";
import { sheet, still, views } from "./views.js";

const FRAMES = 33;
const EVERY = 4; // frames between pictures of the strip
const SECONDS = 3;

/** The panel of the path, with `pick(z, place)` and `clear()`. */
export function pathPanel(app, map, { open }) {
  const ends = { a: null, b: null };
  let spherical = false;
  let frames = null; // { points, values, places }
  let playing = null;
  const strip = make("div", { class: "vk-strip", role: "list", "aria-label": "pictures on the path from A to B" });
  const time = make("input", {
    type: "range", min: "0", max: String(FRAMES - 1), step: "1", value: "0", class: "vk-time",
    "aria-label": "place on the path", oninput: () => { stop(); step(time.valueAsNumber); },
  });
  const play = button("▶ Play", () => (playing ? stop() : start()), { title: "play the path to and fro" });
  const way = choice("way", [["line", "straight line"], ["arc", "arc around the origin"]], (value) => {
    spherical = value === "arc";
    walk();
  });
  const save = button("Download strip", () => frames && download(sheet([...strip.querySelectorAll("canvas")]), "path"));
  const bar = make("div", { class: "vk-bar" }, play, time, way.element, save, button("Clear", () => clear()));
  const invitation = make("p", { class: "vk-invitation" });
  const panel = make("div", { class: "vk-path" }, invitation, strip, bar);

  const decode = newest(async (points) => app.backend.decode(points, FRAMES, app.context));

  async function walk() {
    stop();
    tell();
    if (!ends.a || !ends.b) return;
    const points = pathBetween(ends.a.z, ends.b.z, FRAMES, spherical);
    const values = await app.attempt(() => decode(points));
    if (!values || !ends.b) return;
    const d = app.z.length;
    const each = values.length / FRAMES;
    frames = Array.from({ length: FRAMES }, (_, k) => {
      const z = points.slice(k * d, (k + 1) * d);
      return { z, values: values.subarray(k * each, (k + 1) * each), place: app.placeOf(z) };
    });
    const shown = frames.filter((_, k) => k % EVERY === 0);
    strip.replaceChildren(
      ...shown.map(({ values: one }, i) => {
        const picture = still(one, app.description.view, `picture ${i + 1} of ${shown.length}`);
        const go = () => { stop(); time.value = String(i * EVERY); step(i * EVERY); };
        return make("button", { type: "button", class: "vk-tile", role: "listitem", onclick: go, "aria-label": `place ${i + 1} of ${shown.length} on the path` }, picture);
      }),
    );
    map.mark({ path: app.description.map.axes ? frames.map(({ place }) => place) : [ends.a.place, ends.b.place] });
    tell();
  }

  function step(k) {
    if (!frames) return;
    app.set(frames[k].z);
    time.setAttribute("aria-valuetext", `${k + 1} of ${FRAMES}`);
  }

  function start() {
    if (!frames) return;
    const began = performance.now();
    let last = -1;
    const next = (now) => {
      const round = ((now - began) / 1000 / SECONDS) % 2;
      const k = Math.round((round < 1 ? round : 2 - round) * (FRAMES - 1));
      if (k !== last) {
        last = k;
        time.value = String(k);
        app.present(frames[k].values, frames[k].z);
        map.mark({ pinned: frames[k].place });
      }
      playing = requestAnimationFrame(next);
    };
    play.textContent = "❚❚ Pause";
    playing = requestAnimationFrame(next);
  }

  function stop() {
    if (!playing) return;
    cancelAnimationFrame(playing);
    playing = null;
    play.textContent = "▶ Play";
    step(time.valueAsNumber);
  }

  function tell() {
    const ready = Boolean(frames);
    bar.hidden = strip.hidden = !ready;
    invitation.hidden = ready;
    invitation.textContent = ends.a
      ? "A is set. Pick the other end, B, on the map."
      : "Choose Path above the map and pick two points, A and B. What lies between them appears here.";
  }

  function pick(z, place) {
    if (ends.b) clear();
    const end = ends.a ? "b" : "a";
    setEnd(end, z, place);
  }

  function setEnd(end, z, place) {
    ends[end] = { z: z.slice(), place };
    map.mark({ [end]: place });
    open();
    walk();
  }

  function clear() {
    stop();
    ends.a = ends.b = frames = null;
    strip.replaceChildren();
    time.value = "0";
    map.mark({ a: null, b: null, path: null });
    tell();
  }

  tell();
  return { panel, pick, setEnd, clear, again: walk, stop, size: () => views[app.description.view.kind].size(app.description.view) };
}
