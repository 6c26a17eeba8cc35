// The explorer in a notebook: the same page, and Panel's channel instead of a websocket of its own.

import { mount } from "./explorer.js";
import { remote } from "./remote.js";

export function render({ model, el }) {
  const place = document.createElement("div");
  const line = remote((buffer) => model.send_msg({ message: buffer }));
  model.on("msg:custom", (data) => line.receive(data.message));
  let page = null;
  model.on("remove", () => page?.destroy());
  line.describe().then(
    (description) => (page = mount(place, description, line.backend)),
    (error) => (place.textContent = `The explorer cannot start: ${error.message}`),
  );
  return place;
}
