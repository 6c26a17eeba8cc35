// Making elements, and handing out files.

/** Make an element: attributes, "on..." listeners, and children that are elements or text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button with words, or with a sign and words for those who cannot see it. */
export function button(text, act, { title = null, kind = "" } = {}) {
  const attributes = { type: "button", class: `vk-button ${kind}`.trim(), title, onclick: act };
  if (title && text.length <= 2) attributes["aria-label"] = title;
  return make("button", attributes, text);
}

/** A choice of several, with its label. */
export function choice(label, options, act, { hidden = false } = {}) {
  const select = make("select", { "aria-label": label, onchange: () => act(select.value) });
  for (const [value, text] of options) select.append(make("option", { value }, text));
  return { select, element: make("label", { class: "vk-choice" }, make("span", { hidden }, label), select) };
}

/** Tabs: names and their panels, moved through with the arrow keys. */
export function tabs(label, panels) {
  const prefix = `vk-${Math.random().toString(36).slice(2)}`;
  const names = Object.keys(panels);
  const bar = make("div", { class: "vk-tabs", role: "tablist", "aria-label": label });
  const element = make("div", { class: "vk-tabbed" }, bar);
  const open = (name, focus = false) => {
    for (const tab of bar.children) {
      const chosen = tab.dataset.name === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen && focus) tab.focus();
    }
    for (const [other, panel] of Object.entries(panels)) panel.hidden = other !== name;
  };
  names.forEach((name, number) => {
    const id = `${prefix}-${number}`;
    bar.append(
      make("button", {
        type: "button", role: "tab", id, "data-name": name, "aria-controls": `${id}-panel`,
        onclick: () => open(name),
        onkeydown: (event) => {
          const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (step) open(names[(number + step + names.length) % names.length], true);
        },
      }, name),
    );
    panels[name].classList.add("vk-panel");
    panels[name].id = `${id}-panel`;
    panels[name].setAttribute("role", "tabpanel");
    panels[name].setAttribute("aria-labelledby", id);
    element.append(panels[name]);
  });
  open(names[0]);
  return { element, open };
}

/** Save a blob under a name. */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Save a canvas as PNG. */
export function download(canvas, name) {
  canvas.toBlob((blob) => save(blob, `${name}.png`), "image/png");
}
