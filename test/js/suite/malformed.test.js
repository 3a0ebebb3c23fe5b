// Input that no client sends. Each is refused or ends its own connection; a socket beside it never notices.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect } from "../lib/clients.js";
import { Interlink } from "../lib/target.js";
import { signed } from "../lib/tokens.js";
import { exchange, frame, request, upgrade } from "../lib/wire.js";

const server = new Interlink();
const witness = { left: 0, heard: 0, published: 0 };
let token;

before(async () => {
  await server.start("malformed", { INTERLINK_CONNECT_RATE: "10000" });
  token = await signed("mallory");
  for (const transports of [["websocket"], ["polling"]]) {
    const socket = await connect(server.url, { token: await signed("witness"), transports, reconnection: false });
    assert.equal((await ask(socket, "room:join", "conversation:open-w")).ok, true);
    socket.on("disconnect", () => witness.left++);
    socket.on("still", () => witness.heard++);
    witness[transports[0]] = socket;
  }
});
after(() => server.stop());

// unharmed publishes to the witnesses and waits until both have heard it.
async function unharmed() {
  const both = ["websocket", "polling"].map((kind) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`the ${kind} witness hears nothing`)), 20_000);
    witness[kind].once("still", () => resolve(clearTimeout(late)));
  }));
  await server.publish({ event: "still", to: { rooms: ["conversation:open-w"] } });
  await Promise.all(both);
  assert.equal(witness.left, 0);
}

const status = (answer) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer.text)?.[1]);
const path = "/socket.io/?EIO=4&transport=polling";

async function pollingSession({ connected = true } = {}) {
  const opened = await (await fetch(server.url + path)).text();
  const url = `${path}&sid=${JSON.parse(opened.slice(1)).sid}`;
  if (connected) {
    await fetch(server.url + url, { method: "POST", body: `40${JSON.stringify({ token })}` });
    await (await fetch(server.url + url)).text();
  }
  return url;
}

describe("HTTP requests", () => {
  const wanted4xx = {
    "no EIO": ["GET", "/socket.io/?transport=polling"],
    "EIO 3": ["GET", "/socket.io/?EIO=3&transport=polling"],
    "EIO 5": ["GET", "/socket.io/?EIO=5&transport=polling"],
    "no transport": ["GET", "/socket.io/?EIO=4"],
    "an unknown transport": ["GET", "/socket.io/?EIO=4&transport=carrier-pigeon"],
    "webtransport": ["GET", "/socket.io/?EIO=4&transport=webtransport"],
    "transport twice": ["GET", "/socket.io/?EIO=4&transport=polling&transport=websocket"],
    "an unknown sid": ["GET", `${path}&sid=AAAAAAAAAAAAAAAAAAAAAAAA`],
    "an empty sid": ["POST", `${path}&sid=`],
    "a sid of 10,000 characters": ["GET", `${path}&sid=${"a".repeat(10_000)}`],
    "a sid with a path in it": ["GET", `${path}&sid=..%2f..%2fetc%2fpasswd`],
    "a sid with a newline": ["GET", `${path}&sid=a%0d%0aX:%20y`],
    "a POST without a sid": ["POST", path],
    "PUT": ["PUT", path],
    "DELETE": ["DELETE", path],
    "websocket without an upgrade": ["GET", "/socket.io/?EIO=4&transport=websocket"],
    "a broken escape in the query": ["GET", `${path}&sid=%zz`],
  };
  for (const [name, [method, target]] of Object.entries(wanted4xx)) {
    test(name, async () => {
      const answer = await exchange(server.url, [request(method, target)], 2000);
      assert.ok(status(answer) >= 400 && status(answer) < 500, `status ${status(answer)}`);
      await unharmed();
    });
  }

  for (const [name, bytes] of Object.entries({
    "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01",
    "a request line without end": "GET /" + "a".repeat(100_000),
    "a header without end": `GET ${path} HTTP/1.1\r\nX: ${"a".repeat(2_000_000)}`,
    "two lengths": `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
    "a length and chunks": `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "a length below zero": `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n`,
    "a broken chunk": `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    "HTTP/2 without asking": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a NUL in a header": `GET ${path} HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n`,
  })) {
    test(name, async () => {
      const answer = await exchange(server.url, [Buffer.from(bytes, "latin1")], 1000);
      assert.ok(!answer.text.startsWith("HTTP/1.1 200"), answer.text.slice(0, 100));
      await unharmed();
    });
  }
});

describe("polling bodies", () => {
  for (const [name, body, connected = true] of [
    ["an empty body", ""],
    ["an unknown packet type", "9"],
    ["a packet of 0 in the middle", "0{}"],
    ["a separator alone", "\x1e"],
    ["ten thousand separators", "\x1e".repeat(10_000)],
    ["base64 that is none", "b****"],
    ["an attachment that nobody announced", "bAAAA"],
    ["an event before CONNECT", '42["room:join","conversation:open-1"]', false],
    ["an unknown Socket.IO type", "47"],
    ["an event without a body", "42"],
    ["an event that is an object", '42{"a":1}'],
    ["an event with an empty list", "42[]"],
    ["an event whose name is a number", "42[1]"],
    ["broken JSON", '42["a",'],
    ["JSON of a depth of 100,000", `42["a",${"[".repeat(100_000)}`],
    ["invalid UTF-8", Buffer.from([0x34, 0x32, 0x5b, 0x22, 0xff, 0xfe, 0x22, 0x5d])],
    ["a reserved event", '42["connect"]'],
    ["an ack id that is too large", '42999999999999999999["room:join"]'],
    ["an ack that nobody waits for", "435[]"],
    ["a binary event with a million attachments", '451000000-["a",{"_placeholder":true,"num":0}]'],
    ["a binary event with attachments below zero", '45-1-["a"]'],
    ["a placeholder out of range", '451-["a",{"_placeholder":true,"num":7}]\x1ebAAAA'],
    ["a CONNECT in the middle", "40{}"],
    ["a CONNECT whose auth is a list", "40[]", false],
    ["a CONNECT with an auth of 30 KB", `40{"token":"${"x".repeat(30_000)}"}`, false],
    ["an event for another namespace", '42/admin,["room:join","a:b"]'],
    ["a namespace without a comma", "42/admin"],
    ["a probe on polling", "2probe"],
    ["an upgrade without a probe", "5"],
  ]) {
    test(name, async () => {
      const url = await pollingSession({ connected });
      const res = await fetch(server.url + url, { method: "POST", body, headers: { "content-type": "text/plain;charset=UTF-8" } });
      assert.ok(res.status === 200 || (res.status >= 400 && res.status < 500), `status ${res.status}`);
      await res.text();
      await unharmed();
    });
  }

  test("two GETs at once end the session and no other", async () => {
    const url = await pollingSession();
    const both = await Promise.all([0, 1].map(() => fetch(server.url + url, { signal: AbortSignal.timeout(40_000) })));
    assert.ok(both.some((res) => res.status === 400), both.map((res) => res.status).join());
    await unharmed();
  });
});

describe("WebSocket handshakes", () => {
  for (const [name, query, headers] of [
    ["without a key", undefined, { "Sec-WebSocket-Key": undefined }],
    ["a key that is too short", undefined, { "Sec-WebSocket-Key": "AA==" }],
    ["version 12", undefined, { "Sec-WebSocket-Version": "12" }],
    ["an unknown sid", "EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAAAAAAAAAA", {}],
    ["EIO 3", "EIO=3&transport=websocket", {}],
    ["a foreign Origin", undefined, { Origin: "https://evil.example.org" }],
  ]) {
    test(name, async () => {
      const answer = await exchange(server.url, [upgrade(query, headers)], 2000);
      assert.ok(status(answer) >= 400 && status(answer) < 500 || status(answer) === 101 && answer.closed, `status ${status(answer)}, closed ${answer.closed}`);
      await unharmed();
    });
  }
});

describe("WebSocket frames", () => {
  // What breaks no rule yet, or only asks for an ack, leaves its connection open.
  const patient = new Set(["a million fragments of nothing"]);
  const hello = () => [upgrade(), frame(`40${JSON.stringify({ token })}`)];
  for (const [name, frames] of Object.entries({
    "without a mask": [frame("40{}", { masked: false })],
    "with a reserved bit": [frame("40{}", { rsv: 4 })],
    "with a reserved opcode": [frame("x", { opcode: 3 })],
    "with a reserved control opcode": [frame("x", { opcode: 11 })],
    "a continuation without a beginning": [frame("x", { opcode: 0 })],
    "a second beginning before the end": [frame("4", { fin: false }), frame("2", { fin: true })],
    "a ping of 126 bytes": [frame(Buffer.alloc(126), { opcode: 9 })],
    "a fragmented ping": [frame("x", { opcode: 9, fin: false })],
    "a length of 2^63": [Buffer.concat([Buffer.from([0x81, 0xff]), Buffer.alloc(8, 0xff), Buffer.alloc(4)])],
    "a length over the limit": [frame("x", { length: 5_000_000 })],
    "invalid UTF-8": [frame(Buffer.from([0x34, 0x32, 0xff]))],
    "a close with one byte": [frame("x", { opcode: 8 })],
    "a close with a reserved code": [frame(Buffer.from([0x03, 0xec]), { opcode: 8 })],
    "an empty text frame": [frame("")],
    "an attachment that nobody announced": [frame("x", { opcode: 2 })],
    "a text where an attachment should be": [frame('451-["a",{"_placeholder":true,"num":0}]'), frame('42["b"]')],
    "two packets in one frame": [frame('42["a"]\x1e42["b"]')],
    "an unknown packet": [frame("z")],
    "a payload just over the limit, whole": [frame("4" + "x".repeat(1_000_001))],
    "a payload over the limit in fragments": [frame("4" + "x".repeat(600_000), { fin: false }), frame("x".repeat(600_000), { opcode: 0 })],
    "a million fragments of nothing": [frame("4", { fin: false }), ...Array.from({ length: 20_000 }, () => frame("", { opcode: 0, fin: false }))],
  })) {
    test(name, async () => {
      const answer = await exchange(server.url, [...hello(), ...frames], 1000);
      assert.equal(status(answer), 101);
      assert.equal(answer.closed, !patient.has(name), answer.closed ? "it is closed" : "it is left open");
      await unharmed();
    });
  }

  test("half a frame and then silence keeps nobody waiting", async () => {
    await exchange(server.url, [...hello(), frame("42[1]").subarray(0, 3)], 200);
    await unharmed();
  });

  test("200 connections that say nothing after the handshake", async () => {
    await Promise.all(Array.from({ length: 200 }, () => exchange(server.url, [upgrade()], 200)));
    await unharmed();
  });

  test("a reset in the middle of a frame", async () => {
    await Promise.all(Array.from({ length: 50 }, () => exchange(server.url, [...hello(), frame("42[1]", { length: 100_000 })], 20)));
    await unharmed();
  });
});
