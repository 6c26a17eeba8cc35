"use strict";
// A classic script: opened as a file, it is the only kind that browsers run, and somebody has to say what to do.
(() => {
  const base = new URL(".", document.currentScript.src);
  const place = document.getElementById("explorer");

  function say(...lines) {
    place.replaceChildren(
      ...lines.map((line) => {
        const paragraph = document.createElement("p");
        paragraph.setAttribute("role", "alert");
        paragraph.className = "vk-hint";
        paragraph.textContent = line;
        return paragraph;
      }),
    );
  }

  if (location.protocol === "file:") {
    say(
      "This page cannot run when it is opened as a file: browsers load models and modules from a web server only.",
      "In a terminal, go to its folder, run  python -m http.server 8000 --bind 127.0.0.1  and open " +
        "http://localhost:8000/ . Any static host will do as well.",
    );
    return;
  }

  async function json(name) {
    const answer = await fetch(new URL(name, base));
    if (!answer.ok) throw new Error(`${name} is missing (${answer.status})`);
    return answer.json();
  }

  async function start() {
    const [explorer, backend, description] = await Promise.all([
      import(new URL("explorer.js", base)),
      import(new URL("onnx_backend.js", base)).then((module) => module.onnxBackend(base)),
      json("description.json"),
    ]);
    document.title = description.title;
    place.replaceChildren();
    await explorer.mount(place, description, backend);
  }

  start().catch((error) => {
    say(
      `The page could not be started: ${error.message}`,
      "Is the whole folder on the server, and does the browser know WebAssembly?",
    );
  });
})();
