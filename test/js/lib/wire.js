// Raw bytes: what no client would send.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";

// exchange writes the first chunk, and the others once something came back, and resolves with all that came back when the
// server closes, or after quiet ms without a byte.
export function exchange(url, [first, ...rest], quiet = 300) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let got = Buffer.alloc(0);
    let timer;
    const done = (closed) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ closed, bytes: got, text: got.toString("latin1") });
    };
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => done(false), quiet);
    };
    socket.on("data", (chunk) => {
      if (got.length === 0) rest.forEach((more) => socket.write(more));
      got = Buffer.concat([got, chunk]);
      wait();
    });
    socket.on("close", () => done(true));
    socket.on("error", () => done(true));
    socket.on("connect", () => {
      socket.write(first);
      wait();
    });
  });
}

// frame makes a WebSocket frame (RFC 6455, 5.2). length overrides what the header says.
export function frame(payload, { opcode = 1, fin = true, masked = true, rsv = 0, length } = {}) {
  const body = Buffer.from(payload);
  const n = length ?? body.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const mask = masked ? 0x80 : 0;
  if (n < 126) head.push(mask | n);
  else if (n < 65536) head.push(mask | 126, n >> 8, n & 255);
  else {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(n));
    head.push(mask | 127, ...long);
  }
  if (!masked) return Buffer.concat([Buffer.from(head), body]);
  const key = randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, body.map((b, i) => b ^ key[i % 4])]);
}

export const upgrade = (query = "EIO=4&transport=websocket", headers = {}) =>
  [`GET /socket.io/?${query} HTTP/1.1`, ...Object.entries({
    Host: "127.0.0.1", Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", ...headers,
  }).filter(([, v]) => v !== undefined).map(([k, v]) => `${k}: ${v}`), "", ""].join("\r\n");

export const request = (method, path, { headers = {}, body = "" } = {}) =>
  [`${method} ${path} HTTP/1.1`, ...Object.entries({ Host: "127.0.0.1", Connection: "close", "Content-Length": body.length, ...headers })
    .map(([k, v]) => `${k}: ${v}`), "", body].join("\r\n");
