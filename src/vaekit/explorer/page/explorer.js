// The page of the explorer. `mount(element, description, backend)` draws all of it; what decodes is the backend's matter.

import { classColour, scaleGradient } from "./colours.js";
import { button, choice, download, make, save, tabs } from "./elements.js";
import { LatentMap, shadesOf } from "./map.js";
import { floats, latentAt, logNormal, nearestRows, placeOf } from "./maths.js";
import { pathPanel } from "./path.js";
import { newest } from "./remote.js";
import { samplesPanel } from "./samples.js";
import { attributeSliders, unitSliders } from "./sliders.js";
import { uploadPanel } from "./upload.js";
import { sheet, still, views } from "./views.js";

const VERSION = 1;
const QUIET = 90; // milliseconds without a change before what is shown is measured

/**
 * Draw the explorer into an element.
 *
 * `description` is what Python's `describe` says of a model; `backend` has `decode(z, n, context)`, `encode(x, n, context)`
 * and `sample(n, seed, context)`, which promise Float32Arrays, and what it can do of `measure`, `examples`, `read`
 * and `write`.
 * Returns what ends it, and its state for those who look on.
 */
export function mount(element, description, backend) {
  if (description.version !== VERSION) throw new Error(`the description has version ${description.version}; expected ${VERSION}`);
  const { view, map: drawn, latent } = description;
  const picture = views[view.kind];
  if (!picture) throw new Error(`there is no view for ${view.kind}`);
  const [codes, points, d] = [floats(drawn.codes), floats(drawn.points), latent.dim];
  const listeners = new Set();
  const code = (row) => codes.slice(row * d, (row + 1) * d);
  const mean = new Float32Array(d);
  latent.units.forEach((unit) => (mean[unit.index] = unit.mean));

  const app = {
    description, backend, codes,
    z: mean.slice(),
    base: mean.slice(),
    strengths: description.attributes.map(() => 0),
    context: 0,
    original: null,
    listen: (act) => listeners.add(act),
    labelOf: (row) => (drawn.labels && drawn.classes ? drawn.classes[drawn.labels[row]] : null),

    /** Go to a latent point, and compare it with an original where there is one. */
    set(z, { original = null } = {}) {
      app.base = Float32Array.from(z);
      app.strengths.fill(0);
      app.original = original;
      change();
    },
    async setRow(row) {
      app.set(code(row));
      if (!backend.examples) return;
      const here = app.z;
      const original = await app.attempt(() => backend.examples([drawn.rows[row]]));
      if (original && here === app.z) {
        app.original = original;
        compare();
      }
    },
    setUnit(index, value) {
      app.base[index] += value - app.z[index];
      change();
    },
    setAttribute(number, value) {
      app.strengths[number] = value;
      change();
    },
    placeOf: (z) => {
      if (drawn.axes) return placeOf(drawn, z);
      const { row } = nearestRows(codes, z)[0];
      return [points[2 * row], points[2 * row + 1]];
    },
    async exampleStills(rows) {
      const all = backend.examples
        ? await backend.examples(rows.map((row) => drawn.rows[row]))
        : await backend.decode(Float32Array.from(rows.flatMap((row) => [...code(row)])), rows.length, app.context);
      const each = all.length / rows.length;
      return rows.map((row, i) => still(all.subarray(i * each, (i + 1) * each), view, `example ${drawn.rows[row]}`));
    },
    /** Do what may fail, and say on the page that it did. */
    async attempt(act) {
      try {
        const result = await act();
        return result;
      } catch (error) {
        say(error.message, true);
        return undefined;
      }
    },
    present,
  };

  // What is shown.

  const stage = make("div", { class: "vk-stage" });
  const big = make("canvas", { class: "vk-still vk-big", role: "img", "aria-label": "decoded picture" });
  const [wide, high] = picture.size(view);
  const isWide = wide > 2 * high;
  big.classList.toggle("vk-smooth", Math.max(wide, high) > 160);
  const before = make("canvas", { class: "vk-still vk-before", role: "img", "aria-label": "original" });
  const head = make("div", { class: "vk-head", hidden: true });
  const player = picture.player?.(view, "melody", headAt(head));
  const headBefore = make("div", { class: "vk-head", hidden: true });
  const playerBefore = picture.player?.(view, "original", headAt(headBefore));
  const beside = make("figure", { hidden: true }, make("div", { class: "vk-screen" }, before, headBefore), playerBefore?.element, make("figcaption", {}, "original"));
  stage.append(make("figure", { class: "vk-main" }, make("div", { class: "vk-screen" }, big, head), player?.element), beside);
  const preview = make("canvas", { class: "vk-still vk-preview", "aria-hidden": "true", hidden: true });
  const numbers = make("dl", { class: "vk-numbers", "aria-live": "off" });
  let shown = { z: app.z, values: null };
  let looking = false;

  function present(values, z) {
    shown = { z, values };
    beside.style.visibility = z === app.z ? "" : "hidden"; // it is the original of what is kept, not of what is passed
    picture.draw(big, values, view);
    player?.show(values);
    if (looking) {
      picture.draw(preview, values, view);
      preview.hidden = false;
    }
    soonMeasured();
  }

  const draw = newest(async (z, context, asked) => {
    const values = await backend.decode(z, 1, context);
    present(values, z);
    root.dispatchEvent(new CustomEvent("vaekit:shown", { detail: { asked, drawn: performance.now() } }));
  });
  const show = (z, asked = performance.now()) => app.attempt(() => draw(z, app.context, asked));

  function change() {
    const z = app.base.slice();
    app.strengths.forEach((strength, k) => {
      const { vector, spread } = description.attributes[k];
      if (strength) for (let i = 0; i < d; i++) z[i] += strength * spread * vector[i];
    });
    app.z = z;
    compare();
    map.mark({ pinned: app.placeOf(z) });
    listeners.forEach((act) => act());
    show(z);
  }

  /** Put the original, if there is one, beside what is shown. */
  function compare() {
    beside.hidden = !app.original;
    stage.classList.toggle("vk-two", Boolean(app.original));
    if (app.original) {
      picture.draw(before, app.original, view);
      playerBefore?.show(app.original);
    } else playerBefore?.stop();
    soonMeasured();
  }

  let timer = null;
  function soonMeasured() {
    clearTimeout(timer);
    timer = setTimeout(measured, QUIET);
  }

  const measure = newest(async (z, x) => {
    if (backend.measure) return backend.measure(z, x, app.context);
    return { log_prior: latent.prior === "standard-normal" ? logNormal(z) : null };
  });

  async function measured() {
    const { z } = shown;
    const original = z === app.z ? app.original : null;
    const found = await app.attempt(() => measure(z, original));
    if (!found || z !== shown.z) return;
    const near = nearestRows(codes, z)[0];
    const label = app.labelOf(near.row);
    const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(1).replace("-", "−"));
    const rows = [["log p(z)", number(found.log_prior), "density of the point under the prior, in nats"]];
    if (original) {
      rows.push(["−log p(x|z)", number(found.distortion), "reconstruction error of the original at this point, in nats"]);
      rows.push(["KL(q‖p)", number(found.rate), "rate of the original, in nats"]);
    }
    rows.push(["nearest example", `${label === null ? "" : `${label}, `}${Math.sqrt(near.distance).toFixed(2)} away`, "distance of the nearest code on the map"]);
    numbers.replaceChildren(...rows.map(([name, value, title]) => make("div", { title }, make("dt", {}, name), make("dd", {}, value))));
  }

  // The map.

  const nearby = choice(
    "under the pointer", [["plane", "the place itself"], ["example", "the nearest example"]], () => {}, {},
  );
  nearby.select.value = drawn.axes && (drawn.explained ?? 1) > 0.5 ? "plane" : "example";
  nearby.element.hidden = !drawn.axes || d <= 2;
  const latentFor = (place) => {
    if (nearby.select.value === "plane") return { z: latentAt(drawn, ...place) };
    const { row } = map.nearest(place);
    return { z: code(row), row };
  };
  let tool = "look";
  let cursor = null;
  const map = new LatentMap(points, {
    look(place, pixel, event) {
      looking = event.pointerType !== "touch";
      cursor = place;
      const { z, row } = latentFor(place);
      map.mark({ here: row === undefined ? null : [points[2 * row], points[2 * row + 1]] });
      const [left, top] = [pixel[0] + 18, pixel[1] + 18];
      const across = isWide ? 200 : 110;
      const [roomX, roomY] = [map.width - across, map.height - 110];
      preview.style.transform = `translate(${left > roomX ? pixel[0] - across : left}px, ${top > roomY ? pixel[1] - 110 : top}px)`;
      show(z, event.timeStamp);
    },
    leave() {
      looking = false;
      cursor = null;
      preview.hidden = true;
      map.mark({ here: null });
      path.stop();
      show(app.z);
    },
    pick: (place) => pick(place),
  }, "map of the latent space. Arrow keys move, Enter keeps the point, A and B set the ends of a path, plus and minus zoom.");
  map.element.append(preview);

  function pick(place) {
    const { z, row } = latentFor(place);
    if (tool === "path") {
      path.pick(z, row === undefined ? place : app.placeOf(z));
      return;
    }
    const close = map.nearest(place);
    const example = row ?? (close.pixels < 5 && d <= 2 ? close.row : null);
    if (example === null) app.set(z);
    else app.setRow(example);
  }

  map.element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const stride = event.shiftKey ? 40 : 8;
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (x || y) {
      const from = map.pixel(cursor ?? app.placeOf(app.z));
      const at = [Math.min(map.width, Math.max(0, from[0] + x * stride)), Math.min(map.height, Math.max(0, from[1] + y * stride))];
      cursor = map.place(at);
      const { z, row } = latentFor(cursor);
      map.mark({ here: row === undefined ? cursor : [points[2 * row], points[2 * row + 1]] });
      show(z, event.timeStamp);
    } else if (event.key === "Enter" || event.key === " ") pick(cursor ?? app.placeOf(app.z));
    else if (event.key === "a" || event.key === "b") {
      const place = cursor ?? app.placeOf(app.z);
      path.setEnd(event.key, cursor ? latentFor(place).z : app.z, place);
    } else if (event.key === "+" || event.key === "=") map.zoom(1.3);
    else if (event.key === "-") map.zoom(1 / 1.3);
    else if (event.key === "0") map.reset();
    else if (event.key === "Escape") path.clear();
    else return;
    event.preventDefault();
  });

  // Colours.

  const legend = make("div", { class: "vk-legend" });
  const colourings = [
    ...(drawn.labels ? [["label", "class"]] : []),
    ...latent.units.slice(0, 40).map((unit) => [`unit ${unit.index}`, `unit z${unit.index + 1}`]),
    ...description.attributes.map((attribute, k) => [`attribute ${k}`, `attribute ${attribute.name}`]),
    ["none", "nothing"],
  ];
  function colour(by) {
    const [kind, which] = by.split(" ");
    if (kind === "label") {
      const names = drawn.classes;
      map.paint(Uint16Array.from(drawn.labels), names.map((_, i) => classColour(i)), names.length <= 40 ? names : null);
      legend.replaceChildren(...names.slice(0, 40).map((name, i) => {
        const entry = make("button", { type: "button", "aria-pressed": "true", title: `show or hide ${name}`, onclick: () => {
          map.toggle(i);
          entry.setAttribute("aria-pressed", String(!map.hidden.has(i)));
        } }, make("i", {}), name);
        entry.firstChild.style.background = classColour(i);
        return entry;
      }));
      return;
    }
    if (kind === "none") {
      map.paint(new Uint16Array(points.length / 2), [classColour(4)]);
      legend.replaceChildren();
      return;
    }
    const direction = kind === "unit" ? null : description.attributes[which].vector;
    const values = Float32Array.from({ length: points.length / 2 }, (_, row) =>
      direction ? direction.reduce((sum, v, i) => sum + v * codes[row * d + i], 0) : codes[row * d + Number(which)],
    );
    const shades = shadesOf(values);
    map.paint(shades.groups, shades.colours);
    const scale = make("span", { class: "vk-scale" });
    scale.style.background = scaleGradient();
    legend.replaceChildren(make("span", {}, shades.low.toFixed(1)), scale, make("span", {}, shades.high.toFixed(1)));
  }

  // The page around it.

  const note = make("div", { class: "vk-note", role: "status", hidden: true });
  let quiet = null;
  function say(text, wrong = false) {
    note.setAttribute("role", wrong ? "alert" : "status");
    note.classList.toggle("vk-wrong", wrong);
    note.replaceChildren(make("span", {}, text), button("×", () => (note.hidden = true), { title: "close this message" }));
    note.hidden = false;
    clearTimeout(quiet);
    quiet = setTimeout(() => (note.hidden = true), wrong ? 15_000 : 4000);
  }

  const tools = make("div", { class: "vk-segments", role: "radiogroup", "aria-label": "what a click does" });
  const choose = (name) => {
    tool = name;
    map.element.classList.toggle("vk-picking", name === "path");
    for (const one of tools.children) one.setAttribute("aria-checked", String(one.dataset.name === name));
    if (name === "path") dock.open("Path");
  };
  for (const [name, text, title] of [["look", "Look", "a click keeps the point"], ["path", "Path", "two clicks set the ends of a path"]]) {
    tools.append(make("button", { type: "button", role: "radio", "data-name": name, title, onclick: () => choose(name) }, text));
  }

  const path = pathPanel(app, map, { open: () => dock.open("Path") });
  const samples = samplesPanel(app);
  const upload = uploadPanel(app);
  const dock = tabs("more to do", { Path: path.panel, Samples: samples.panel, Upload: upload.panel });
  const sliders = { Units: unitSliders(app) };
  if (description.attributes.length) sliders.Attributes = attributeSliders(app);
  const side = tabs("sliders", sliders);

  const colours = choice("colour by", colourings, colour);
  const classes = description.classes && choice("class", description.classes.map((name, i) => [String(i), name]), (value) => {
    app.context = Number(value);
    change();
    path.again();
    samples.again();
    upload.again();
  });
  const themes = ["auto", "light", "dark"];
  const theme = button("◐", () => {
    root.dataset.theme = themes[(themes.indexOf(root.dataset.theme) + 1) % 3];
    theme.title = `colours of the page: ${root.dataset.theme}`;
    theme.setAttribute("aria-label", theme.title);
    map.resize();
  }, { title: "colours of the page: auto" });
  const reset = () => {
    path.clear();
    choose("look");
    map.reset();
    app.set(mean);
  };
  const way = { units: "the units themselves", pca: "principal components", umap: "UMAP" }[drawn.method];
  const part = drawn.method === "pca" && drawn.explained ? ` (${Math.round(100 * drawn.explained)} % of the variance)` : "";
  const sizes = `${(points.length / 2).toLocaleString("en")} examples · ${d} unit${d === 1 ? "" : "s"} · map by ${way}${part}`;

  const root = make(
    "div", { class: `vk-explorer${isWide ? " vk-wide" : ""}`, "data-theme": "auto" },
    make("header", {}, make("h1", { title: description.settings || null }, description.title), make("p", {}, sizes), theme),
    make(
      "div", { class: "vk-columns" },
      make(
        "main", {},
        make(
          "section", { class: "vk-card vk-atlas", "aria-label": "map" },
          make(
            "div", { class: "vk-bar" }, tools, nearby.element, colours.element,
            make("span", { class: "vk-push" }),
            button("+", () => map.zoom(1.5), { title: "zoom in" }), button("−", () => map.zoom(1 / 1.5), { title: "zoom out" }),
            button("⤢", () => map.reset(), { title: "see the whole map" }),
            button("Download map", () => download(map.picture(), "map")),
          ),
          map.element, legend,
        ),
        make("section", { class: "vk-card vk-dock" }, dock.element),
      ),
      make(
        "aside", {},
        make(
          "section", { class: "vk-card vk-picture", "aria-label": "what is decoded" },
          classes?.element, stage, numbers,
          make(
            "div", { class: "vk-bar" },
            button("Download picture", () => {
              if (shown.values) download(sheet([still(shown.values, view)]), "picture");
            }),
            ...(backend.write ? (view.files ?? []) : []).map((ending) =>
              button(`Download ${ending}`, () => shown.values && app.attempt(async () => {
                save(new Blob([await backend.write(shown.values, ending)]), `melody${ending}`);
              })),
            ),
            button("Reset", reset, { title: "back to where it began" }),
          ),
        ),
        make("section", { class: "vk-card vk-sliders" }, side.element),
      ),
    ),
    note,
  );
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    if (event.defaultPrevented || !event.dataTransfer.files[0]) return;
    event.preventDefault(); // or the browser would leave the page for the file
    dock.open("Upload");
    upload.take(event.dataTransfer.files[0]);
  });
  element.replaceChildren(root);
  map.resize();
  colour(colourings[0][0]);
  choose("look");
  change();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const repaint = () => map.redraw();
  dark.addEventListener("change", repaint);

  return {
    app, map, say,
    destroy() {
      path.stop();
      player?.stop();
      playerBefore?.stop();
      clearTimeout(timer);
      dark.removeEventListener("change", repaint);
      map.destroy();
      root.remove();
    },
  };
}

/** A line over a still that says how far what plays has come. */
function headAt(line) {
  return (part) => {
    line.hidden = part === null;
    line.style.left = `${100 * (part ?? 0)}%`;
  };
}
