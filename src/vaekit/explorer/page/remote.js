// A model that answers messages: a header in JSON behind its length, and then numbers or a file as they are.
// A backend is an object of functions that promise arrays. `decode`, `encode` and `sample` it must have; of `measure`,
// `examples`, `read` and `write` it has those that it can do.

/** One message as bytes. The header is filled up so that what follows it is read in place. */
export function packed(header, payload) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / 4) * 4;
  const bytes = payload ? new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength) : new Uint8Array();
  const message = new Uint8Array(4 + length + bytes.length).fill(32);
  new DataView(message.buffer).setUint32(0, length, true);
  message.set(text, 4);
  message.set(bytes, 4 + length);
  return message.buffer;
}

/** Header and payload of a message: numbers in `values`, or a file in `bytes`. */
export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const bytes = new Uint8Array(buffer, 4 + length);
  return { header, bytes, values: bytes.length % 4 ? null : new Float32Array(buffer, 4 + length) };
}

/** A function that runs a task once at a time: what is asked meanwhile waits, and only the newest of it. */
export function newest(task) {
  let busy = false;
  let waiting = null;
  const run = async (...given) => {
    if (busy) {
      waiting?.resolve(undefined);
      return new Promise((resolve, reject) => (waiting = { given, resolve, reject }));
    }
    busy = true;
    try {
      return await task(...given);
    } finally {
      busy = false;
      const next = waiting;
      waiting = null;
      if (next) run(...next.given).then(next.resolve, next.reject);
    }
  };
  return run;
}

/** A backend over a channel: `send(buffer)` takes messages there, and `receive(buffer)` is called with what comes. */
export function remote(send) {
  const asked = new Map();
  const own = Math.random().toString(36).slice(2); // several pages may share a channel
  let count = 0;
  const ask = (header, payload) =>
    new Promise((resolve, reject) => {
      const id = `${own}-${count++}`;
      asked.set(id, { resolve, reject });
      try {
        send(packed({ ...header, id }, payload));
      } catch (error) {
        asked.delete(id);
        reject(error);
      }
    });
  return {
    receive(buffer) {
      const { header, bytes, values } = unpacked(buffer);
      const waiting = asked.get(header.id);
      asked.delete(header.id);
      if (!waiting) return;
      if (header.error) waiting.reject(new Error(header.error));
      else waiting.resolve({ header, bytes, values });
    },
    lost(reason) {
      for (const { reject } of asked.values()) reject(new Error(reason));
      asked.clear();
    },
    describe: async () => (await ask({ op: "describe" })).header.description,
    backend: {
      decode: async (z, n, context = 0) => (await ask({ op: "decode", context }, z)).values,
      encode: async (x, n, context = 0) => (await ask({ op: "encode", context }, x)).values,
      sample: async (n, seed, context = 0) => (await ask({ op: "sample", n, seed, context })).values,
      examples: async (rows) => (await ask({ op: "examples", rows })).values,
      read: async (bytes) => (await ask({ op: "read" }, bytes)).values,
      write: async (values, ending) => (await ask({ op: "write", ending }, values)).bytes,
      measure: async (z, x, context = 0) => {
        const both = new Float32Array(z.length + (x?.length ?? 0));
        both.set(z);
        if (x) both.set(x, z.length);
        return (await ask({ op: "measure", context }, both)).header.measures;
      },
    },
  };
}

/** The backend of a live server, over a websocket that is opened again when it breaks. */
export function overWebSocket(address, state = () => {}) {
  let socket;
  let pause = 250;
  let over = false;
  let again = null;
  const line = remote((buffer) => {
    if (socket.readyState !== WebSocket.OPEN) throw new Error("the model cannot be reached: is vaekit explore running?");
    socket.send(buffer);
  });
  const open = () =>
    new Promise((resolve) => {
      socket = new WebSocket(address);
      socket.binaryType = "arraybuffer";
      socket.onmessage = (event) => line.receive(event.data);
      socket.onopen = () => {
        pause = 250;
        state(true);
        resolve();
      };
      socket.onclose = () => {
        line.lost("the connection to the model broke; it is being made again");
        if (over) return;
        state(false);
        again = setTimeout(open, pause);
        pause = Math.min(8000, 2 * pause);
      };
    });
  const close = () => {
    over = true;
    clearTimeout(again);
    socket.close();
  };
  return { backend: line.backend, ready: open(), close };
}
