// What the protocols promise, without rooms and sessions: against protocol-server, or socket.io with TARGET=reference.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect, connected, matrix, next, open, ask, versions } from "../lib/clients.js";
import { eventually } from "../lib/process.js";
import { Protocol } from "../lib/target.js";

const server = new Protocol();
before(() => server.start());
after(() => server.stop());

matrix((label, options) => {
  describe(label, () => {
    test("connects, gets the auth that it sent, and leaves (Socket.IO, Connection to a namespace)", async () => {
      const socket = open(server.url, { ...options, auth: { token: "abc" } });
      const hello = next(socket, "auth");
      await connected(socket);
      assert.deepEqual((await hello)[0], { token: "abc" });
      assert.match(socket.id, /^[\w-]{8,}$/);
      socket.close();
    });

    test("moves to the transport that it should end on (Engine.IO, Upgrade)", async () => {
      const socket = await connect(server.url, options);
      const want = options.transports.at(-1);
      await eventually(() => socket.io.engine.transport.name === want, 10_000);
      assert.deepEqual(await ask(socket, "message-with-ack", "after the upgrade"), "after the upgrade");
      socket.close();
    });

    test("is acked with every kind of JSON (Socket.IO, Acknowledgement)", async () => {
      const socket = await connect(server.url, options);
      for (const value of [null, 0, -1.5e300, "", "ünïcödé \u2028 \ud83d\ude00 \u001e", [], {}, { a: [{ b: null }] }, true]) {
        assert.deepEqual(await ask(socket, "message-with-ack", value), value);
      }
      socket.close();
    });

    test("sends and gets binary nested in JSON, many attachments and an empty one (Socket.IO, Binary)", async () => {
      const socket = await connect(server.url, options);
      const sent = { a: Buffer.from([0, 1, 255]), list: [Buffer.alloc(0), { deep: Buffer.alloc(70_000, 7) }], text: "x" };
      const back = next(socket, "message-back");
      socket.emit("message", sent, Buffer.from("last"));
      const [got, last] = await back;
      assert.deepEqual(Buffer.from(got.a), sent.a);
      assert.equal(got.list[0].length ?? got.list[0].byteLength, 0);
      assert.deepEqual(Buffer.from(got.list[1].deep), sent.list[1].deep);
      assert.equal(got.text, "x");
      assert.deepEqual(Buffer.from(last), Buffer.from("last"));
      const ack = await ask(socket, "message-with-ack", sent);
      assert.deepEqual(Buffer.from(ack.a), sent.a);
      socket.close();
    });

    test("sends what was emitted before and right after the connect, in order", async () => {
      const socket = open(server.url, options);
      const got = [];
      socket.on("message-back", (n) => got.push(n));
      socket.emit("message", 1);
      socket.once("connect", () => {
        socket.emit("message", 2);
        socket.emit("message", 3);
      });
      await eventually(() => got.length === 3, 20_000);
      assert.deepEqual(got, [1, 2, 3]);
      socket.close();
    });

    test("keeps the order of bursts of 2,000 events in both directions", { timeout: 120_000 }, async () => {
      const socket = await connect(server.url, options);
      const got = [];
      socket.on("message-back", (n) => got.push(n));
      for (let n = 0; n < 2000; n++) socket.emit("message", n);
      await eventually(() => got.length >= 2000, 60_000, () => `${got.length} of 2,000 came back`);
      assert.deepEqual(got, Array.from({ length: 2000 }, (_, n) => n));
      socket.close();
    });

    test("keeps the order of a burst that begins before the upgrade", { timeout: 120_000 }, async () => {
      const socket = open(server.url, options);
      const got = [];
      socket.on("message-back", (n) => got.push(n));
      let n = 0;
      await connected(socket);
      const timer = setInterval(() => {
        for (let i = 0; i < 20 && n < 1000; i++) socket.emit("message", n++);
      }, 1);
      await eventually(() => got.length >= 1000, 60_000, () => `${got.length} of 1,000 came back`);
      clearInterval(timer);
      assert.deepEqual(got, Array.from({ length: 1000 }, (_, i) => i));
      socket.close();
    });

    test("takes a payload just under 1 MB and is cut off over it (Engine.IO, maxPayload)", { timeout: 60_000 }, async () => {
      const socket = await connect(server.url, options);
      await eventually(() => socket.io.engine.transport.name === options.transports.at(-1), 10_000);
      const big = "x".repeat(999_000);
      assert.equal((await ask(socket, "message-with-ack", big)).length, big.length);
      const gone = next(socket, "disconnect");
      socket.emit("message", "x".repeat(1_000_100));
      assert.match((await gone)[0], /^transport (close|error)$/);
      socket.close();
    });

    test("drops volatile events only while it is not connected", async () => {
      const socket = open(server.url, options);
      const got = [];
      socket.on("message-back", (n) => got.push(n));
      socket.volatile.emit("message", "lost");
      await connected(socket);
      await eventually(() => {
        socket.volatile.emit("message", "came");
        return got.includes("came");
      }, 20_000);
      assert.ok(!got.includes("lost"));
      socket.close();
    });

    test("stays connected over many pings (Engine.IO, Heartbeat)", async () => {
      const socket = await connect(server.url, options);
      let left = 0;
      socket.on("disconnect", () => left++);
      let pings = 0;
      socket.io.engine.on("packet", ({ type }) => (pings += type === "ping"));
      socket.io.on("ping", () => pings++);
      await eventually(() => pings >= 4, 20_000, () => `${pings} pings`);
      assert.equal(left, 0);
      socket.close();
    });

    test("a namespace that does not exist is refused with its reason (Socket.IO, CONNECT_ERROR)", async () => {
      const socket = open(server.url, { ...options, namespace: "/nobody" });
      await assert.rejects(connected(socket), /Invalid namespace/);
      socket.close();
      socket.io.engine.close();
    });
  });
});

test("a client of 4.8 gives up an ack after its timeout and goes on", async () => {
  const socket = await connect(server.url, { io: versions["4.8"] });
  await assert.rejects(socket.timeout(200).emitWithAck("nobody-answers", 1), /timed out/);
  assert.equal(await socket.timeout(10_000).emitWithAck("message-with-ack", 2), 2);
  socket.close();
});
