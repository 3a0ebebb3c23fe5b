// The official clients, over each transport.
import { io as io48 } from "socket.io-client";
import { createRequire } from "node:module";

const { io: io40 } = createRequire(import.meta.url)("socket.io-client-4.0");

export const versions = { "4.8": io48, "4.0": io40 };
export const transports = {
  "websocket": ["websocket"],
  "polling": ["polling"],
  "polling, then upgrade": ["polling", "websocket"],
};

// matrix calls f(label, options) for each version over each transport.
export function matrix(f) {
  for (const [version, io] of Object.entries(versions)) {
    for (const [name, list] of Object.entries(transports)) {
      f(`client ${version}, ${name}`, { io, transports: list });
    }
  }
}

// open makes a client that connects at once. Nothing is shared with another.
export function open(url, { io = io48, transports = ["websocket"], token, cookie, origin, namespace = "", auth, ...more } = {}) {
  const extraHeaders = { ...(cookie ? { cookie } : {}), ...(origin ? { origin } : {}) };
  return io(url + namespace, {
    transports, forceNew: true, reconnectionDelay: 200, reconnectionDelayMax: 1000, extraHeaders,
    auth: auth ?? (token ? { token } : undefined), ...more,
  });
}

// connected resolves with the socket at its next connect, rejects with its refusal.
export function connected(socket, within = 30_000) {
  if (socket.connected) return Promise.resolve(socket);
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => done(reject, new Error("no connect within " + within + " ms")), within);
    const done = (settle, value) => {
      clearTimeout(late);
      socket.off("connect", yes).off("connect_error", no);
      settle(value);
    };
    const yes = () => done(resolve, socket);
    const no = (error) => done(reject, error);
    socket.on("connect", yes).on("connect_error", no);
  });
}

export const connect = (url, options) => connected(open(url, options));

// refused resolves with the error of a connect that must not succeed.
export async function refused(socket) {
  try {
    await connected(socket);
  } catch (error) {
    return error;
  } finally {
    socket.close();
  }
  throw new Error("connected, want a refusal");
}

// next resolves with the arguments of the next event of that name.
export function next(socket, event, within = 20_000) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${event} within ${within} ms`)), within);
    socket.once(event, (...args) => {
      clearTimeout(late);
      resolve(args);
    });
  });
}

// ask emits with an ack and resolves with its single argument. (emitWithAck came with 4.6.)
export function ask(socket, event, ...args) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ack of ${event} within 20000 ms`)), 20_000);
    socket.emit(event, ...args, (...got) => {
      clearTimeout(late);
      if (got.length === 1) resolve(got[0]);
      else reject(new Error(`the ack of ${event} has ${got.length} arguments`));
    });
  });
}
