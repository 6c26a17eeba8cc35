// Samples from the prior, on demand: the same seed, the same pictures.

import { button, download, make } from "./elements.js";
import { sheet, still } from "./views.js";

const MANY = 24;

/** The panel of samples. */
export function samplesPanel(app) {
  const seed = make("input", { type: "number", min: "0", max: "2147483647", step: "1", value: "0", class: "vk-number", "aria-label": "seed", onchange: () => draw() });
  const grid = make("div", { class: "vk-grid", role: "list", "aria-label": "samples" });
  const save = button("Download samples", () => download(sheet([...grid.querySelectorAll("canvas")], 12), `samples-seed-${seed.value}`));
  save.disabled = true;
  const another = () => {
    seed.value = String((seed.valueAsNumber || 0) + 1);
    draw();
  };
  const bar = make(
    "div", { class: "vk-bar" },
    button("Draw samples", () => draw(), { kind: "vk-primary" }),
    make("label", { class: "vk-choice" }, make("span", {}, "seed"), seed),
    button("Next seed", another), save,
  );
  const panel = make("div", {}, bar, grid);

  async function draw() {
    const number = Math.min(2 ** 31, Math.max(0, Math.round(seed.valueAsNumber || 0)));
    seed.value = String(number);
    await app.attempt(async () => {
      const z = await app.backend.sample(MANY, number, app.context);
      const values = await app.backend.decode(z, MANY, app.context);
      const [d, each] = [z.length / MANY, values.length / MANY];
      grid.replaceChildren(
        ...Array.from({ length: MANY }, (_, i) => {
          const picture = still(values.subarray(i * each, (i + 1) * each), app.description.view, `sample ${i + 1}`);
          const choose = () => app.set(z.slice(i * d, (i + 1) * d));
          return make("button", { type: "button", class: "vk-tile", role: "listitem", onclick: choose, "aria-label": `show sample ${i + 1}` }, picture);
        }),
      );
      save.disabled = false;
    });
  }
  return { panel, again: () => grid.children.length && draw() };
}
