// Engine.IO v4, at /engine.io/: 25 cases.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCases } from "./engine-cases.mjs";
import { at, bytes, keep, sleep } from "./wire.mjs";

const server = at("/engine.io/");

describe("Engine.IO protocol", () => {
  engineCases("/engine.io/");

  describe("message", () => {
    const payloads = {
      "one text packet": "4hello",
      "several text packets": "4test1\x1e4test2\x1e4test3",
      "text and binary packets": "4hello\x1ebAQIDBA==",
    };
    for (const [name, body] of Object.entries(payloads)) {
      it(`echoes ${name} over HTTP long-polling`, async () => {
        const sid = await server.open();
        const pushed = await server.push(sid, body);
        assert.equal(pushed.status, 200);
        assert.equal(await pushed.text(), "ok");
        const polled = await server.poll(sid);
        assert.equal(polled.status, 200);
        assert.equal(await polled.text(), body);
      });
    }
    it("closes a polling session for a malformed packet", async () => {
      const sid = await server.open();
      assert.equal((await server.push(sid, "abc")).status, 400);
      assert.equal((await server.poll(sid)).status, 400);
    });
    it("closes a polling session for a second poll at the same time", async () => {
      const sid = await server.open();
      const [first, second] = await Promise.all([server.poll(sid), sleep(5).then(() => server.poll(sid))]);
      assert.equal(first.status, 200);
      assert.equal(await first.text(), "1");
      assert.equal(second.status, 400);
      assert.equal((await server.poll(sid)).status, 400);
    });
    it("closes a polling session whose poll is cancelled", async () => {
      const sid = await server.open();
      const controller = new AbortController();
      const polled = server.poll(sid, { signal: controller.signal }).catch(() => {});
      await sleep(5);
      controller.abort();
      await polled;
      assert.equal((await server.poll(sid)).status, 400);
    });
    it("echoes a text packet over WebSocket", async () => {
      const ws = keep(server.websocket());
      await ws.next("message");
      ws.send("4hello");
      assert.equal((await ws.next("message")).data, "4hello");
      ws.close();
    });
    it("echoes a binary packet over WebSocket", async () => {
      const ws = keep(server.websocket());
      await ws.next("message");
      ws.send(bytes(1, 2, 3, 4));
      assert.deepEqual((await ws.next("message")).data, bytes(1, 2, 3, 4));
      ws.close();
    });
    it("closes a WebSocket for a malformed packet", async () => {
      const ws = keep(server.websocket());
      await ws.next("message");
      ws.send("abc");
      await ws.next("close");
    });
  });
});
