// The map: thousands of points on a canvas, with what moves over them on another canvas above.

import { SHADES, classColour, scaleColour } from "./colours.js";
import { nearestRows, quantile } from "./maths.js";

const FURTHEST = 200; // times the first view
const CLICK = 5; // pixels that a click may slip

/**
 * A map of points, shape (n, 2). `on` has `look(place)`, `leave()`, `pick(place)`, called with places in the points' own
 * coordinates. Colours are set with `paint`, and what lies above the points with `mark`.
 */
export class LatentMap {
  constructor(points, on, label) {
    this.points = points;
    this.n = points.length / 2;
    this.on = on;
    this.groups = new Uint16Array(this.n);
    this.colours = [classColour(4)];
    this.hidden = new Set();
    this.names = null;
    this.marks = {};
    this.pointers = new Map();
    this.element = document.createElement("div");
    this.element.className = "vk-map";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-label", label);
    this.ground = this.element.appendChild(document.createElement("canvas"));
    this.above = this.element.appendChild(document.createElement("canvas"));
    for (const canvas of [this.ground, this.above]) canvas.setAttribute("aria-hidden", "true");
    this.#home();
    this.#listen();
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.element);
  }

  /** Colour points by group, by `colours[groups[i]]`; `names` are written where the groups are. */
  paint(groups, colours, names = null) {
    Object.assign(this, { groups, colours, names, hidden: new Set(), sprites: null });
    this.order = null;
    this.centres = names && this.#centres();
    this.redraw();
  }

  /** Show or hide the points of a group. */
  toggle(group) {
    if (!this.hidden.delete(group)) this.hidden.add(group);
    this.redraw();
  }

  /** Set what lies above the points: `here`, `pinned`, `a`, `b` are places or null, `path` is a list of places. */
  mark(marks) {
    Object.assign(this.marks, marks);
    this.#soon("overlay");
  }

  /** The row of the nearest point that is shown, and how far it is in pixels. */
  nearest([x, y]) {
    const skip = this.hidden.size ? (row) => this.hidden.has(this.groups[row]) : null;
    const found = nearestRows(this.points, [x, y], 1, skip)[0] ?? nearestRows(this.points, [x, y])[0];
    return { row: found.row, pixels: Math.sqrt(found.distance) * this.scale };
  }

  /** Come nearer by a factor, with a place of the screen held fast. */
  zoom(factor, at = [this.width / 2, this.height / 2]) {
    const scale = Math.min(this.first * FURTHEST, Math.max(this.first / 4, this.scale * factor));
    const [x, y] = this.place(at);
    this.scale = scale;
    this.centre = [x - (at[0] - this.width / 2) / scale, y + (at[1] - this.height / 2) / scale];
    this.redraw();
  }

  /** See all of it again. */
  reset() {
    this.#home();
    this.#fit();
    this.redraw();
  }

  redraw() {
    this.#soon("points");
  }

  /** What is to be seen, as one canvas. */
  picture() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.ground.width, this.ground.height];
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(this.element).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.ground, 0, 0);
    context.drawImage(this.above, 0, 0);
    return canvas;
  }

  destroy() {
    this.resizing.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** The place of a pixel. */
  place([px, py]) {
    return [this.centre[0] + (px - this.width / 2) / this.scale, this.centre[1] - (py - this.height / 2) / this.scale];
  }

  /** The pixel of a place. */
  pixel([x, y]) {
    return [(x - this.centre[0]) * this.scale + this.width / 2, this.height / 2 - (y - this.centre[1]) * this.scale];
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const before = this.first;
    Object.assign(this, { width, height });
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [this.ground, this.above]) {
      [canvas.width, canvas.height] = [width * this.ratio, height * this.ratio];
    }
    const nearer = before ? this.scale / before : 1;
    this.#fit();
    this.scale *= nearer;
    this.sprites = null;
    this.#draw(); // at once: a canvas that was resized is blank
  }

  #home() {
    // Most of the points, and not the few far out that would make the rest small.
    const [xs, ys] = [0, 1].map((axis) => this.points.filter((_, i) => i % 2 === axis));
    this.span = [xs, ys].map((values) => [quantile(values, 0.002), quantile(values, 0.998)]);
    this.centre = this.span.map(([low, high]) => (low + high) / 2);
  }

  #fit() {
    const [w, h] = this.span.map(([low, high]) => Math.max(high - low, 1e-6) * 1.12);
    this.first = this.scale = Math.min(this.width / w, this.height / h);
  }

  #centres() {
    return this.names.map((_, group) => {
      const rows = [];
      for (let i = 0; i < this.n; i++) if (this.groups[i] === group) rows.push(i);
      return rows.length ? [0, 1].map((axis) => quantile(rows.map((i) => this.points[2 * i + axis]), 0.5)) : null;
    });
  }

  #soon(what) {
    this.wanted = what === "points" || this.wanted === "points" ? "points" : "overlay";
    this.frame ??= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (!this.width) return;
    if (this.wanted !== "overlay") this.#drawPoints();
    this.#drawAbove();
    this.wanted = null;
  }

  #drawPoints() {
    const { ratio, points, groups } = this;
    const context = this.ground.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.ground.width, this.ground.height);
    this.#drawAxes(context);
    const near = this.scale / this.first;
    const radius = ratio * Math.min(7, (this.n > 3000 ? 2 : 3) * Math.max(1, near) ** 0.4);
    if (!this.sprites || this.sprites.radius !== radius) this.sprites = this.#makeSprites(radius);
    const { images, size } = this.sprites;
    const k = this.scale * ratio;
    const left = this.ground.width / 2 - this.centre[0] * k - size / 2;
    const top = this.ground.height / 2 + this.centre[1] * k - size / 2;
    const [right, bottom] = [this.ground.width, this.ground.height];
    for (let i = 0; i < this.n; i++) {
      const x = points[2 * i] * k + left;
      const y = top - points[2 * i + 1] * k;
      if (x < -size || y < -size || x > right || y > bottom || this.hidden.has(groups[i])) continue;
      context.drawImage(images[groups[i]], Math.round(x), Math.round(y));
    }
    this.#drawNames(context);
  }

  #makeSprites(radius) {
    const size = Math.ceil(2 * radius) + 2;
    const images = this.colours.map((colour) => {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = size;
      const context = canvas.getContext("2d");
      context.globalAlpha = this.n > 3000 ? 0.78 : 0.9;
      context.fillStyle = colour;
      context.beginPath();
      context.arc(size / 2, size / 2, radius, 0, 7);
      context.fill();
      return canvas;
    });
    return { radius, size, images };
  }

  #drawAxes(context) {
    const style = getComputedStyle(this.element);
    const [x, y] = this.pixel([0, 0]).map((value) => Math.round(value * this.ratio) + 0.5);
    context.strokeStyle = style.getPropertyValue("--vk-line");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.ground.height);
    context.moveTo(0, y);
    context.lineTo(this.ground.width, y);
    context.stroke();
  }

  #drawNames(context) {
    if (!this.names) return;
    const style = getComputedStyle(this.element);
    context.font = `600 ${14 * this.ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 4 * this.ratio;
    context.lineJoin = "round";
    context.strokeStyle = style.getPropertyValue("--vk-surface");
    context.fillStyle = style.getPropertyValue("--vk-text");
    this.centres.forEach((centre, group) => {
      if (!centre || this.hidden.has(group)) return;
      const [x, y] = this.pixel(centre).map((value) => value * this.ratio);
      context.strokeText(this.names[group], x, y);
      context.fillText(this.names[group], x, y);
    });
  }

  #drawAbove() {
    const context = this.above.getContext("2d");
    const style = getComputedStyle(this.element);
    const [text, surface, accent] = ["text", "surface", "accent"].map((name) => style.getPropertyValue(`--vk-${name}`));
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const { path, here, pinned } = this.marks;
    if (path?.length > 1) {
      for (const [width, colour] of [[5, surface], [2.5, text]]) {
        Object.assign(context, { lineWidth: width, strokeStyle: colour, lineJoin: "round", lineCap: "round" });
        context.beginPath();
        for (const place of path) context.lineTo(...this.pixel(place));
        context.stroke();
      }
    }
    const ring = (place, radius, fill, line) => {
      context.beginPath();
      context.arc(...this.pixel(place), radius, 0, 7);
      Object.assign(context, { lineWidth: 2.5, strokeStyle: line, fillStyle: fill });
      context.fill();
      context.stroke();
    };
    if (pinned) ring(pinned, 7, accent, surface);
    if (here) ring(here, 6, "transparent", text);
    for (const name of ["a", "b"]) {
      if (!this.marks[name]) continue;
      ring(this.marks[name], 10, text, surface);
      context.font = "700 12px system-ui, sans-serif";
      Object.assign(context, { textAlign: "center", textBaseline: "middle", fillStyle: surface });
      const [x, y] = this.pixel(this.marks[name]);
      context.fillText(name.toUpperCase(), x, y + 0.5);
    }
  }

  #listen() {
    const at = (event) => {
      const box = this.element.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let moved = 0;
    let apart = 0;
    const listen = (name, act) => this.element.addEventListener(name, act, { passive: false });
    listen("pointerdown", (event) => {
      if (event.button) return;
      this.element.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      moved = 0;
    });
    listen("pointermove", (event) => {
      const now = at(event);
      const before = this.pointers.get(event.pointerId);
      if (!before) return this.on.look(this.place(now), now, event);
      this.pointers.set(event.pointerId, now);
      const held = [...this.pointers.values()];
      if (held.length === 2) {
        const distance = Math.hypot(held[0][0] - held[1][0], held[0][1] - held[1][1]);
        if (apart) this.zoom(distance / apart, [0, 1].map((i) => (held[0][i] + held[1][i]) / 2));
        apart = distance;
        moved = Infinity;
        return;
      }
      moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
      if (moved <= CLICK) return;
      this.element.classList.add("vk-held");
      this.centre[0] -= (now[0] - before[0]) / this.scale;
      this.centre[1] += (now[1] - before[1]) / this.scale;
      this.redraw();
    });
    const release = (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      apart = 0;
      this.element.classList.remove("vk-held");
      if (event.type === "pointerup" && moved <= CLICK) this.on.pick(this.place(at(event)));
    };
    listen("pointerup", release);
    listen("pointercancel", release);
    listen("pointerleave", () => this.on.leave());
    listen("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), at(event));
    });
  }
}

/** Groups and colours of numbers, one a point: shades of the scale between the outer hundredths. */
export function shadesOf(numbers) {
  const [low, high] = [quantile(numbers, 0.01), quantile(numbers, 0.99)];
  const width = Math.max(high - low, 1e-9);
  const groups = Uint16Array.from(numbers, (value) =>
    Math.min(SHADES - 1, Math.max(0, Math.floor(((value - low) / width) * SHADES))),
  );
  return { groups, colours: Array.from({ length: SHADES }, (_, i) => scaleColour(i / (SHADES - 1))), low, high };
}
