// How decoded data are shown. A kind of data is an entry of `views`:
//   size(view)                    width and height of one still, in pixels of its own
//   draw(canvas, values, view)    a still of one example; `values` are in [0, 1]
//   player(view, name, progress)  optional: an element, beside a large still, that plays what its `show(values)` was given
//   read(file, view)              optional: a file as values, where the backend does not read files
//   files                         what may be uploaded: { accept, ask, becomes(view), invert }, the last where light
//                                 may be dark
// Strips, grids, previews and downloads ask for nothing else.

import { melodyPlayer, notesOf } from "./player.js";

const READ_BYTES = 16 * 2 ** 20;
const READ_PIXELS = 32_000_000;

const sides = (view) => `it is brought to ${view.shape.join(" × ")}`;

const image = {
  files: { accept: "image/*", ask: "Drop a picture here, or choose one", becomes: sides, invert: true },

  size: (view) => [view.shape[2], view.shape[1]],

  draw(canvas, values, view) {
    const [channels, height, width] = view.shape;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const area = width * height;
    for (let i = 0, byte = 0; i < area; i++) {
      for (let c = 0; c < 3; c++) picture.data[byte++] = 255 * values[(channels === 1 ? 0 : c) * area + i];
      picture.data[byte++] = 255;
    }
    context.putImageData(picture, 0, 0);
  },

  async read(file, view) {
    if (file.size > READ_BYTES) throw new Error(`the file has ${Math.round(file.size / 2 ** 20)} MiB; expected at most 16`);
    const pixels = pixelsOf(new DataView(await file.slice(0, 2 ** 18).arrayBuffer()));
    if (!pixels) throw new Error("the file is no picture that can be read; expected PNG, JPEG, GIF or WebP");
    if (pixels > READ_PIXELS) throw new Error("the picture has too many pixels; expected at most 32 million");
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      throw new Error("the picture is damaged: save it again as PNG");
    }
    const [channels, height, width] = view.shape;
    const side = Math.min(bitmap.width / width, bitmap.height / height);
    const [w, h] = [side * width, side * height];
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, 0, 0, width, height);
    bitmap.close();
    const { data } = context.getImageData(0, 0, width, height);
    const area = width * height;
    const values = new Float32Array(channels * area);
    for (let i = 0; i < area; i++) {
      const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
      if (channels === 1) values[i] = (0.299 * r + 0.587 * g + 0.114 * b) / 255;
      else [r, g, b].forEach((value, c) => (values[c * area + i] = value / 255));
    }
    return values;
  },
};

/** How many pixels a picture says it has, before anything decodes it; 0 if it is none. */
function pixelsOf(head) {
  const size = head.byteLength;
  const is = (at, ...bytes) => size >= at + bytes.length && bytes.every((byte, i) => head.getUint8(at + i) === byte);
  if (is(0, 0x89, 0x50, 0x4e, 0x47) && size >= 24) return head.getUint32(16) * head.getUint32(20);
  if (is(0, 0x47, 0x49, 0x46) && size >= 10) return head.getUint16(6, true) * head.getUint16(8, true);
  if (is(8, 0x57, 0x45, 0x42, 0x50) && size >= 30) {
    if (is(12, 0x56, 0x50, 0x38, 0x58)) return ((head.getUint32(24, true) & 0xffffff) + 1) * ((head.getUint32(26, true) >>> 8) + 1);
    if (is(12, 0x56, 0x50, 0x38, 0x4c)) {
      const bits = head.getUint32(21, true);
      return ((bits & 0x3fff) + 1) * (((bits >>> 14) & 0x3fff) + 1);
    }
    return (head.getUint16(26, true) & 0x3fff) * (head.getUint16(28, true) & 0x3fff);
  }
  if (is(0, 0xff, 0xd8)) {
    for (let at = 2; at + 9 < size && head.getUint8(at) === 0xff; at += 2 + head.getUint16(at + 2)) {
      const marker = head.getUint8(at + 1);
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
        return head.getUint16(at + 5) * head.getUint16(at + 7);
      }
    }
  }
  return 0;
}

const vector = {
  files: { accept: null, ask: "Drop a file here, or choose one", becomes: sides, invert: true },

  size: () => [320, 200],

  draw(canvas, values) {
    const [width, height] = vector.size();
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.fillStyle = "#10141b";
    context.fillRect(0, 0, width, height);
    context.fillStyle = context.strokeStyle = "#56b4e9";
    const at = (i) => [((i + 0.5) / values.length) * width, height - 8 - values[i] * (height - 16)];
    if (values.length <= 32) {
      const thick = Math.max(2, (width / values.length) * 0.7);
      values.forEach((_, i) => context.fillRect(at(i)[0] - thick / 2, at(i)[1], thick, height - at(i)[1]));
      return;
    }
    context.lineWidth = 2;
    context.beginPath();
    values.forEach((_, i) => context.lineTo(...at(i)));
    context.stroke();
  },
};

const SHARPS = [1, 3, 6, 8, 10]; // above C

const melody = {
  files: {
    accept: ".mid,.midi,audio/midi",
    ask: "Drop a MIDI file here, or choose one",
    becomes: (view) => `of its melody the first ${view.shape[0] / view.bar} bars`,
    invert: false,
  },

  size(view) {
    const [low, high] = view.keys;
    const step = Math.max(2, Math.round(320 / view.shape[0]));
    return [view.shape[0] * step, (high - low + 1) * Math.max(3, Math.round(120 / (high - low + 1)))];
  },

  draw(canvas, values, view) {
    const [width, height] = melody.size(view);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const [low, high] = view.keys;
    const [step, key] = [width / view.shape[0], height / (high - low + 1)];
    const context = canvas.getContext("2d");
    for (let pitch = low; pitch <= high; pitch++) {
      context.fillStyle = SHARPS.includes(pitch % 12) ? "#10141b" : "#171d26";
      context.fillRect(0, (high - pitch) * key, width, key);
    }
    for (let beat = view.bar / 4; beat < view.shape[0]; beat += view.bar / 4) {
      context.fillStyle = beat % view.bar ? "#232b37" : "#4a5668";
      context.fillRect(beat * step, 0, 1, height);
    }
    context.fillStyle = "#56b4e9";
    for (const { start, stop, pitch } of notesOf(values, view)) {
      const row = high - Math.min(high, Math.max(low, pitch)); // what the keys have no room for is at their edge
      context.fillRect(start * step, row * key, Math.max(1, (stop - start) * step - 1), key);
    }
  },

  player: melodyPlayer,
};

export const views = { image, vector, melody };

/** A still of one example as a canvas of its own. */
export function still(values, view, title = "") {
  const canvas = document.createElement("canvas");
  canvas.className = "vk-still";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", title);
  views[view.kind].draw(canvas, values, view);
  return canvas;
}

/** Several stills side by side on one canvas, enlarged, to be saved. */
export function sheet(stills, columns = stills.length) {
  const [width, height] = [stills[0].width, stills[0].height];
  const scale = Math.max(1, Math.round((stills.length === 1 ? 512 : 112) / width));
  const gap = stills.length === 1 ? 0 : 2 * scale;
  const canvas = document.createElement("canvas");
  canvas.width = columns * (width * scale + gap) + gap;
  canvas.height = Math.ceil(stills.length / columns) * (height * scale + gap) + gap;
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  stills.forEach((one, i) => {
    const [column, row] = [i % columns, Math.floor(i / columns)];
    context.drawImage(one, gap + column * (width * scale + gap), gap + row * (height * scale + gap), width * scale, height * scale);
  });
  return canvas;
}
