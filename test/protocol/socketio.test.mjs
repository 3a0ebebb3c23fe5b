// Socket.IO v5, at /socket.io/: 32 cases, 16 of them of Engine.IO.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCases } from "./engine-cases.mjs";
import { at, bytes, once } from "./wire.mjs";

const server = at("/socket.io/");

async function opened() {
  const ws = server.websocket();
  await once(ws, "message"); // the handshake of Engine.IO
  return ws;
}

async function connected() {
  const ws = await opened();
  ws.send("40");
  await once(ws, "message"); // the answer
  await once(ws, "message"); // `auth`
  return ws;
}

async function next(ws, count) {
  const messages = [];
  while (messages.length < count) {
    const { data } = await once(ws, "message");
    if (data !== "2") messages.push(data);
  }
  return messages;
}

// all collects messages without losing one, pings aside.
const all = (ws, count) =>
  new Promise((resolve) => {
    const messages = [];
    ws.addEventListener("message", ({ data }) => {
      if (data !== "2" && messages.push(data) === count) resolve(messages);
    });
  });

describe("Socket.IO protocol", () => {
  engineCases("/socket.io/");

  describe("connect", () => {
    const admitted = {
      "the main namespace": ["40", "40", '42["auth",{}]'],
      "the main namespace with a payload": ['40{"token":"123"}', "40", '42["auth",{"token":"123"}]'],
      "another namespace": ["40/custom,", "40/custom,", '42/custom,["auth",{}]'],
      "another namespace with a payload": ['40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'],
    };
    for (const [name, [packet, prefix, auth]] of Object.entries(admitted)) {
      it(`admits to ${name}`, async () => {
        const ws = await opened();
        ws.send(packet);
        const { data } = await once(ws, "message");
        assert.ok(data.startsWith(prefix), data);
        const answer = JSON.parse(data.slice(prefix.length));
        assert.deepEqual(Object.keys(answer), ["sid"]);
        assert.equal(typeof answer.sid, "string");
        assert.equal((await once(ws, "message")).data, auth);
        ws.close();
      });
    }
    it("refuses an unknown namespace", async () => {
      const ws = await opened();
      ws.send("40/random");
      assert.equal((await once(ws, "message")).data, '44/random,{"message":"Invalid namespace"}');
      ws.close();
    });
    it("closes for a malformed first packet", async () => {
      const ws = await opened();
      ws.send("4abc");
      await once(ws, "close");
    });
    it("closes when no CONNECT comes", async () => {
      await once(server.websocket(), "close");
    });
  });

  describe("disconnect", () => {
    it("leaves the connection open after the main namespace", async () => {
      const ws = await connected();
      ws.send("41");
      assert.equal((await once(ws, "message")).data, "2");
      ws.close();
    });
    it("leaves the main namespace alone when another is left", async () => {
      const ws = await connected();
      await once(ws, "message"); // a ping
      ws.send("40/custom");
      await once(ws, "message");
      await once(ws, "message");
      ws.send("41/custom");
      ws.send('42["message","message to main namespace"]');
      assert.equal((await once(ws, "message")).data, '42["message-back","message to main namespace"]');
      ws.close();
    });
  });

  describe("message", () => {
    const placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
    const answered = {
      "an event": ['42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'],
      "an event with an ack": ['42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'],
    };
    for (const [name, [sent, answer]] of Object.entries(answered)) {
      it(`answers ${name}`, async () => {
        const ws = await connected();
        ws.send(sent);
        assert.deepEqual(await next(ws, 1), [answer]);
        ws.close();
      });
    }
    const binary = {
      "an event with attachments": [`452-["message",${placeholders}]`, `452-["message-back",${placeholders}]`],
      "an event with attachments and an ack": [`452-789["message-with-ack",${placeholders}]`, `462-789[${placeholders}]`],
    };
    for (const [name, [sent, answer]] of Object.entries(binary)) {
      it(`answers ${name}`, async () => {
        const ws = await connected();
        const come = all(ws, 3);
        ws.send(sent);
        ws.send(bytes(1, 2, 3));
        ws.send(bytes(4, 5, 6));
        assert.deepEqual(await come, [answer, bytes(1, 2, 3), bytes(4, 5, 6)]);
        ws.close();
      });
    }
    const malformed = {
      "an unknown packet type": "4abc",
      "a payload of the wrong kind": "42{}",
      "an ack id that is none": '42abc["message-with-ack",1,"2",{"3":[false]}]',
    };
    for (const [name, packet] of Object.entries(malformed)) {
      it(`closes for ${name}`, async () => {
        const ws = await connected();
        ws.send(packet);
        await once(ws, "close");
      });
    }
  });
});
