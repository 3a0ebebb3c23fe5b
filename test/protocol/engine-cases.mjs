// The Engine.IO cases that both documents' suites hold: handshake, heartbeat, close, upgrade (7 + 4 + 2 + 3).
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertHandshake, at, keep, pingInterval, pingTimeout, sleep } from "./wire.mjs";

export function engineCases(path) {
  const server = at(path);
  const websocket = (query) => keep(server.websocket(query));

  describe("handshake", () => {
    describe("HTTP long-polling", () => {
      it("opens a session", async () => {
        const response = await server.http("EIO=4&transport=polling");
        assert.equal(response.status, 200);
        assertHandshake(await response.text(), ["websocket"]);
      });
      const refused = {
        "an EIO that is missing or wrong": [["transport=polling"], ["EIO=abc&transport=polling"]],
        "a transport that is missing or wrong": [["EIO=4"], ["EIO=4&transport=abc"]],
        "another method than GET": [["EIO=4&transport=polling", "POST"], ["EIO=4&transport=polling", "PUT"]],
      };
      for (const [name, requests] of Object.entries(refused)) {
        it(`refuses ${name}`, async () => {
          for (const [query, method = "GET"] of requests) {
            assert.equal((await server.http(query, { method })).status, 400, query);
          }
        });
      }
    });

    describe("WebSocket", () => {
      it("opens a session", async () => {
        const ws = websocket();
        assertHandshake((await ws.next("message")).data, []);
        ws.close();
      });
      const refused = {
        "an EIO that is missing or wrong": ["transport=websocket", "EIO=abc&transport=websocket"],
        "a transport that is missing or wrong": ["EIO=4", "EIO=4&transport=abc"],
      };
      for (const [name, queries] of Object.entries(refused)) {
        it(`refuses ${name}`, async () => {
          for (const query of queries) await websocket(query).next("close");
        });
      }
    });
  });

  describe("heartbeat", () => {
    it("pings over HTTP long-polling", async () => {
      const sid = await server.open();
      for (let i = 0; i < 3; i++) {
        const response = await server.poll(sid);
        assert.equal(response.status, 200);
        assert.equal(await response.text(), "2");
        assert.equal((await server.push(sid, "3")).status, 200);
      }
    });
    it("closes a polling session whose ping is not answered", async () => {
      const sid = await server.open();
      await sleep(pingInterval + pingTimeout);
      assert.equal((await server.poll(sid)).status, 400);
    });
    it("pings over WebSocket", async () => {
      const ws = websocket();
      await ws.next("message");
      for (let i = 0; i < 3; i++) {
        assert.equal((await ws.next("message")).data, "2");
        ws.send("3");
      }
      ws.close();
    });
    it("closes a WebSocket whose ping is not answered", () => websocket().next("close"));
  });

  describe("close", () => {
    it("ends a polling session, and its poll with a noop", async () => {
      const sid = await server.open();
      const [polled] = await Promise.all([server.poll(sid), server.push(sid, "1")]);
      assert.equal(polled.status, 200);
      assert.equal(await polled.text(), "6");
      assert.equal((await server.poll(sid)).status, 400);
    });
    it("ends a WebSocket", async () => {
      const ws = websocket();
      await ws.next("message");
      ws.send("1");
      await ws.next("close");
    });
  });

  describe("upgrade", () => {
    const probed = async () => {
      const sid = await server.open();
      const ws = websocket(`EIO=4&transport=websocket&sid=${sid}`);
      await ws.next("open");
      ws.send("2probe");
      return { sid, ws };
    };
    it("moves a session to a WebSocket", async () => {
      const { sid, ws } = await probed();
      assert.equal((await ws.next("message")).data, "3probe");
      const polled = await server.poll(sid);
      assert.equal(polled.status, 200);
      assert.equal(await polled.text(), "6");
      ws.send("5");
      ws.close();
    });
    it("refuses polling afterwards", async () => {
      const { sid, ws } = await probed();
      ws.send("5"); // the answer to the probe is not waited for
      assert.equal((await server.poll(sid)).status, 400);
      ws.close();
    });
    it("refuses a second WebSocket afterwards", async () => {
      const { sid, ws } = await probed();
      ws.send("5");
      await websocket(`EIO=4&transport=websocket&sid=${sid}`).next("close");
      assert.equal(ws.readyState, ws.OPEN);
      ws.close();
    });
  });
}
