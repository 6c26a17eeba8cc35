// The user's own example: encoded, decoded again, and what of the data lies near.

import { make } from "./elements.js";
import { nearestRows } from "./maths.js";
import { still, views } from "./views.js";

const NEAR = 8;
const MOST_BYTES = 16 * 2 ** 20;

/** The panel of uploads. */
export function uploadPanel(app) {
  const { view } = app.description;
  const { files } = views[view.kind];
  let read = null; // values as read
  const invert = make("input", { type: "checkbox", onchange: () => read && use() });
  const input = make("input", {
    type: "file", class: "vk-file", "aria-label": "choose a file to encode",
    accept: files.accept,
    onchange: () => {
      if (input.files[0]) take(input.files[0]);
      input.value = "";
    },
  });
  const drop = make(
    "label", { class: "vk-drop" }, input,
    make("span", {}, files.ask),
    make("small", {}, `${files.becomes(view)}; at most 16 MiB`),
  );
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("vk-over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("vk-over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("vk-over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  const result = make("div", { class: "vk-result", "aria-live": "polite" });
  const panel = make("div", { class: "vk-upload" }, make("div", {}, drop, make("label", { class: "vk-choice vk-check", hidden: !files.invert }, invert, "invert light and dark")), result);

  async function take(file) {
    await app.attempt(async () => {
      if (file.size > MOST_BYTES) {
        throw new Error(`${file.name} has ${Math.round(file.size / 2 ** 20)} MiB; expected at most 16: make it smaller`);
      }
      const bytes = () => file.arrayBuffer().then((buffer) => new Uint8Array(buffer));
      const reader = views[view.kind].read;
      if (!app.backend.read && !reader) throw new Error("this page cannot read files of this kind");
      read = app.backend.read ? await app.backend.read(await bytes()) : await reader(file, view);
      await use();
    });
  }

  async function use() {
    await app.attempt(async () => {
      const x = invert.checked ? read.map((value) => 1 - value) : read;
      const z = (await app.backend.encode(x, 1, app.context)).slice();
      app.set(z, { original: x });
      const near = nearestRows(app.codes, z, NEAR).map(({ row }) => row);
      const pictures = await app.exampleStills(near);
      const values = await app.backend.decode(z, 1, app.context);
      const titled = (title, picture) => make("figure", {}, picture, make("figcaption", {}, title));
      const choose = (row) => () => app.setRow(row);
      result.replaceChildren(
        titled("yours", still(x, view, "your example")),
        titled("reconstruction", still(values, view, "its reconstruction")),
        make("span", { class: "vk-rule" }),
        ...pictures.map((picture, i) =>
          make("figure", {}, make("button", { type: "button", class: "vk-tile", onclick: choose(near[i]), "aria-label": `show neighbour ${i + 1}` }, picture), make("figcaption", {}, app.labelOf(near[i]) ?? `#${i + 1}`)),
        ),
      );
    });
  }
  return { panel, take, again: () => read && use() };
}
