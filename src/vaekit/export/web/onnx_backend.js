// The networks of an exported model, run in the visitor's browser by onnxruntime-web: the backend of the static page.

import * as ort from "./onnxruntime/ort.js";

/** A number, or one for each entry of an example, at a place in a batch of them. */
const entry = (given) => (place) => (Array.isArray(given) ? given[place % given.length] : given);

/**
 * Load the model of a folder that `vaekit export --to web` wrote.
 *
 * Points z and values in [0, 1] are Float32Arrays of n rows. `context` is the number of one of the description's
 * classes, for a model that is told one.
 */
export async function onnxBackend(base = new URL(".", import.meta.url)) {
  const at = (name) => new URL(name, base).href;
  ort.env.wasm.wasmPaths = { mjs: at("onnxruntime/ort-wasm.js"), wasm: at("onnxruntime/ort-wasm.wasm") };
  ort.env.wasm.numThreads = 1; // more want headers that static hosts do not send
  ort.env.logLevel = "error";
  const answer = await fetch(at("model.json"));
  if (!answer.ok) throw new Error(`model.json is missing (${answer.status})`);
  const model = await answer.json();
  const open = (name) => ort.InferenceSession.create(at(name), { executionProviders: ["wasm"] });
  const decoder = await open("decoder.onnx");
  let encoder = null; // a visitor may never encode anything
  const told = contexts(model.contexts);
  const draws = model.prior && floats(model.prior.draws);

  function tensor(values, n, shape) {
    const length = n * shape.reduce((product, side) => product * side, 1);
    if (values.length !== length) throw new Error(`there are ${values.length} numbers; expected ${length} for ${n} rows`);
    return new ort.Tensor("float32", values, [n, ...shape]);
  }

  async function decode(z, n, context = 0) {
    if (n === 0) return new Float32Array(0);
    const { x } = await decoder.run({ z: tensor(z, n, [model.latent_dim]), ...told(context, n) });
    const values = x.data;
    const [low, high] = [model.view.low, model.view.high].map(entry);
    for (let i = 0; i < values.length; i++) {
      values[i] = Math.min(Math.max((values[i] - low(i)) / (high(i) - low(i)), 0), 1);
    }
    return values;
  }

  async function encode(values, n, context = 0) {
    if (n === 0) return new Float32Array(0);
    encoder ??= open("encoder.onnx");
    const { levels } = model.input;
    const [scale, shift] = [model.input.scale, model.input.shift].map(entry);
    const x = Float32Array.from(values, (v, i) => {
      const stored = levels ? Math.round(v * (levels - 1)) / (levels - 1) : v;
      return scale(i) * stored + shift(i);
    });
    const session = await encoder;
    const { mean } = await session.run({ x: tensor(x, n, model.shape), ...told(context, n) });
    return mean.data;
  }

  async function sample(n, seed, context = 0) {
    const uniform = mulberry32(seed);
    if (!draws) return normal(n * model.latent_dim, uniform);
    // Rows of draws that were made with the model: the prior has no formula here.
    const { rows, each_context: each } = model.prior;
    const z = new Float32Array(n * model.latent_dim);
    for (let i = 0; i < n; i++) {
      const row = Math.floor(uniform() * rows) + (each ? context * rows : 0);
      z.set(draws.subarray(row * model.latent_dim, (row + 1) * model.latent_dim), i * model.latent_dim);
    }
    return z;
  }

  return { decode, encode, sample };
}

/** What a conditional model is told, as the second input of its graphs: n times one of the contexts. */
function contexts(given) {
  if (!given) return () => ({});
  if (given.kind === "class") {
    return (index, n) => ({ context: new ort.Tensor("int64", new BigInt64Array(n).fill(BigInt(index)), [n]) });
  }
  const rows = floats(given.values);
  const length = given.shape.reduce((product, side) => product * side, 1);
  return (index, n) => {
    const repeated = new Float32Array(n * length);
    for (let i = 0; i < n; i++) repeated.set(rows.subarray(index * length, (index + 1) * length), i * length);
    return { context: new ort.Tensor("float32", repeated, [n, ...given.shape]) };
  };
}

/** Little-endian float32 from base64. */
function floats(text) {
  if (!text) return null;
  return new Float32Array(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
}

/** Uniform numbers in [0, 1) from a seed: the generator mulberry32, of 32 bits of state, which is public domain. */
export function mulberry32(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers, by the transform of Box and Muller (1958). */
export function normal(length, uniform) {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())); // 1 - u is never 0
    const angle = 2 * Math.PI * uniform();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < length) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}
