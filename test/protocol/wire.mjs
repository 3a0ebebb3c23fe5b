// What both suites speak: raw requests and raw WebSocket messages, so that no client library hides what the server sends.
import assert from "node:assert/strict";
import { WebSocket } from "ws";

export const base = process.env.PROTOCOL_URL ?? "http://127.0.0.1:3000";
export const pingInterval = Number(process.env.PROTOCOL_PING_INTERVAL ?? 300);
export const pingTimeout = Number(process.env.PROTOCOL_PING_TIMEOUT ?? 200);
export const maxPayload = Number(process.env.PROTOCOL_MAX_PAYLOAD ?? 1000000);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// once resolves with the next event of its kind and sees no other: two messages in one segment and the second is lost, as in the documents' suites.
export const once = (ws, kind) => new Promise((resolve) => ws.addEventListener(kind, resolve, { once: true }));

// at speaks to the server mounted at a path.
export function at(path) {
  const url = (query) => `${base}${path}?${query}`;
  const http = (query, options) => fetch(url(query), options);
  const poll = (sid, options) => http(`EIO=4&transport=polling&sid=${sid}`, options);
  return {
    http,
    poll,
    push: (sid, body) => poll(sid, { method: "POST", body }),
    websocket: (query = "EIO=4&transport=websocket") => {
      const ws = new WebSocket(url(query).replace("http", "ws"));
      ws.binaryType = "arraybuffer";
      ws.on("error", () => {}); // a refused upgrade is an error and then a close
      return ws;
    },
    open: async () => JSON.parse((await (await http("EIO=4&transport=polling")).text()).slice(1)).sid,
  };
}

// next keeps what arrives before it is asked for; for the Engine.IO suite, which may be told several things at once.
export function keep(ws) {
  const queues = {};
  for (const kind of ["open", "message", "close"]) {
    const queue = (queues[kind] = { come: [], asked: [] });
    ws.addEventListener(kind, (event) => (queue.asked.length ? queue.asked.shift()(event) : queue.come.push(event)));
  }
  ws.next = (kind) =>
    queues[kind].come.length ? Promise.resolve(queues[kind].come.shift()) : new Promise((resolve) => queues[kind].asked.push(resolve));
  return ws;
}

export function assertHandshake(packet, upgrades) {
  assert.equal(packet[0], "0");
  const value = JSON.parse(packet.slice(1));
  assert.equal(typeof value.sid, "string");
  const { sid, ...rest } = value;
  assert.deepEqual(rest, { upgrades, pingInterval, pingTimeout, maxPayload });
}

export const bytes = (...values) => Uint8Array.from(values).buffer;
