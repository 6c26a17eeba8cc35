// Sliders: one a unit, the most informative first, and one an attribute.

import { button, make } from "./elements.js";

const FIRST = 24; // sliders that are shown until more are asked for
const REACH = 2; // strengths of an attribute to either side

/** Sliders of the latent units. */
export function unitSliders(app) {
  const { units } = app.description.latent;
  const most = Math.max(...units.map((unit) => unit.rate ?? 0), 1e-9);
  const rows = units.map((unit) => {
    const name = `z${unit.index + 1}`;
    const rate = unit.rate === null ? "" : `${unit.rate.toFixed(2)} nats`;
    return slider(name, unit.low, unit.high, {
      hint: rate,
      bar: unit.rate === null ? null : unit.rate / most,
      label: `unit ${name}${rate && `, rate ${rate}`}`,
      dim: unit.rate !== null && unit.rate < 0.01,
      act: (value) => app.setUnit(unit.index, value),
      clear: () => app.setUnit(unit.index, unit.mean),
    });
  });
  const panel = make("div", {}, hint("Rates are what the data tell of a unit, KL(q‖p) in nats. Double-click to set back."));
  panel.append(...fewAtFirst(rows.map((row) => row.element)));
  app.listen(() => rows.forEach((row, i) => row.set(app.z[units[i].index])));
  return panel;
}

/** Sliders of the attributes: how far the point is pushed along each one's direction. */
export function attributeSliders(app) {
  const { attributes } = app.description;
  const rows = attributes.map((attribute, number) =>
    slider(attribute.name, -REACH, REACH, {
      label: `attribute ${attribute.name}, strength`,
      signed: true,
      act: (value) => app.setAttribute(number, value),
      clear: () => app.setAttribute(number, 0),
    }),
  );
  const panel = make("div", {}, hint("Push what is shown towards an attribute: 1 is from the mean without it to the mean with it, or one standard deviation."));
  panel.append(...fewAtFirst(rows.map((row) => row.element)));
  app.listen(() => rows.forEach((row, i) => row.set(app.strengths[i])));
  return panel;
}

/** One slider of a number from low to high, with its value and what is said beside its name. */
export function slider(name, low, high, { hint: beside = "", bar = null, label, dim = false, signed = false, act, clear }) {
  const input = make("input", {
    type: "range", min: String(low), max: String(high), step: "any", "aria-label": label,
    oninput: () => act(input.valueAsNumber),
    ondblclick: clear,
    onkeydown: (event) => {
      // "any" leaves the step of the arrow keys to the browser, which takes one.
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (!step) return;
      event.preventDefault();
      act(Math.min(high, Math.max(low, input.valueAsNumber + (step * (high - low)) / 100)));
    },
  });
  const output = make("output", {});
  const rate = make("span", { class: "vk-rate", title: beside }, beside);
  if (bar !== null) rate.style.setProperty("--part", bar);
  const set = (value) => {
    input.value = String(value);
    const text = `${signed && value > 0 ? "+" : ""}${value.toFixed(2)}`;
    output.value = text;
    input.setAttribute("aria-valuetext", text);
  };
  const element = make("div", { class: `vk-slider${dim ? " vk-dim" : ""}` }, make("span", { class: "vk-name", title: name }, name), input, output);
  if (beside) element.insertBefore(rate, input);
  return { element, set };
}

function fewAtFirst(elements) {
  if (elements.length <= FIRST) return elements;
  elements.slice(FIRST).forEach((element) => (element.hidden = true));
  const more = button(`Show all ${elements.length}`, () => {
    elements.forEach((element) => (element.hidden = false));
    more.remove();
  });
  return [...elements, more];
}

function hint(text) {
  return make("p", { class: "vk-hint" }, text);
}
