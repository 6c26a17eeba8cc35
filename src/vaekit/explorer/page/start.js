// The live page: the description and the model are with the server that this file came from.

import { mount } from "./explorer.js";
import { overWebSocket } from "./remote.js";

const element = document.getElementById("explorer");
try {
  let page = null;
  const address = new URL("live", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const line = overWebSocket(address, (connected) => {
    if (!connected) page?.say("The connection to the model broke. It is being made again; is vaekit explore running?", true);
  });
  const [answer] = await Promise.all([fetch("description.json"), line.ready]);
  if (!answer.ok) throw new Error("the server does not describe its model: run vaekit explore again");
  page = mount(element, await answer.json(), line.backend);
} catch (error) {
  element.textContent = `The explorer cannot start: ${error.message}`;
  throw error;
}
