// Many clients at once, many that come and go, and a server that goes away. CHURN_SECONDS (20) says how long they churn.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connected, next, open, transports } from "../lib/clients.js";
import { eventually, sleep } from "../lib/process.js";
import { Interlink } from "../lib/target.js";
import { signed } from "../lib/tokens.js";

const churn = Number(process.env.CHURN_SECONDS ?? 20);
const server = new Interlink();
before(() => server.start("crowd", { INTERLINK_PING_INTERVAL: "2s", INTERLINK_PING_TIMEOUT: "5s" }));
after(() => server.stop());

const sockets = () => server.metric("interlink_gateway_sockets");
const emptied = () => eventually(async () => (await sockets()) === 0, 60_000, () => "sockets are left");

describe("200 clients at once", () => {
  for (const [name, list] of Object.entries(transports)) {
    test(`${name}: none is stuck`, { timeout: 120_000 }, async () => {
      const token = await signed("crowd");
      const all = Array.from({ length: 200 }, () => open(server.url, { transports: list, token }));
      const ready = all.map((socket) => next(socket, "session:ready", 90_000));
      await Promise.all(all.map((socket) => connected(socket, 90_000)));
      await Promise.all(ready);
      const room = `conversation:open-crowd-${list.join("-")}`;
      const joined = await Promise.all(all.map((socket) => ask(socket, "room:join", room)));
      assert.ok(joined.every((a) => a.ok), JSON.stringify(joined.find((a) => !a.ok)));
      const heard = all.map((socket) => next(socket, "hello", 60_000));
      await server.publish({ event: "hello", to: { rooms: [room] }, data: 1 });
      await Promise.all(heard);
      all.forEach((socket) => socket.close());
      await emptied();
    });
  }
});

test(`500 clients churn for ${churn} s: one disconnect each time, no socket left`, { timeout: (churn + 180) * 1000 }, async () => {
  const token = await signed("churn");
  const kinds = Object.values(transports);
  const end = Date.now() + churn * 1000;
  let lives = 0;
  const wrong = [];
  const one = async (n) => {
    while (Date.now() < end) {
      const socket = open(server.url, { transports: kinds[n % kinds.length], token, reconnection: false });
      let disconnects = 0;
      socket.on("disconnect", () => disconnects++);
      await connected(socket, 90_000);
      if (n % 2) await ask(socket, "room:join", `conversation:open-churn-${n % 20}`);
      await sleep(Math.random() * 4000);
      if (n % 4 === 0) socket.io.engine.close(); // the transport alone
      else socket.close();
      await eventually(() => disconnects > 0, 20_000);
      await sleep(Math.random() * 200);
      if (disconnects !== 1) wrong.push(disconnects);
      socket.close();
      lives++;
    }
  };
  await Promise.all(Array.from({ length: 500 }, (_, n) => sleep(n * 10).then(() => one(n))));
  assert.ok(lives >= 500, `${lives} lives`);
  assert.deepEqual(wrong, []);
  await emptied();
  const [connects, disconnects] = [
    await server.metric("interlink_gateway_connects_total", { result: "ok" }), await server.metric("interlink_gateway_disconnects_total"),
  ];
  assert.equal(connects, disconnects, "every connect has one disconnect");
});

for (const [name, list] of Object.entries(transports)) {
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`${name}: clients come back by themselves when the server is restarted with ${signal}`, { timeout: 180_000 }, async () => {
      const token = await signed("loyal");
      const all = Array.from({ length: 20 }, () => open(server.url, { transports: list, token }));
      await Promise.all(all.map((socket) => connected(socket, 60_000)));
      const gone = all.map((socket) => next(socket, "disconnect", 60_000));
      const back = all.map((socket) => new Promise((resolve) => socket.once("disconnect", () => socket.once("connect", resolve))));
      await server.restart(signal);
      for (const [reason] of await Promise.all(gone)) assert.notEqual(reason, "io server disconnect");
      await Promise.all(back);
      all.forEach((socket) => socket.close());
      await emptied();
    });
  }
}
