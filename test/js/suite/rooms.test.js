// Rooms, acks and what the publisher's records become, over each transport.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, matrix, next } from "../lib/clients.js";
import { eventually } from "../lib/process.js";
import { Interlink } from "../lib/target.js";
import { signed } from "../lib/tokens.js";

const server = new Interlink();
before(() => server.start("rooms"));
after(() => server.stop());

let number = 0;
const fresh = () => `conversation:open-${++number}`;

matrix((label, options) => {
  describe(label, () => {
    const enter = async (user, ...rooms) => {
      const socket = await connect(server.url, { ...options, token: await signed(user) });
      for (const room of rooms) assert.equal((await ask(socket, "room:join", room)).ok, true);
      return socket;
    };

    test("joins one room and hears it, leaves it and hears nothing more", async () => {
      const [room, other] = [fresh(), fresh()];
      const socket = await enter("ann", other);
      const joined = await ask(socket, "room:join", room);
      assert.deepEqual(joined, { ok: true, room, permissions: joined.permissions, ...("replayed" in joined ? { replayed: joined.replayed } : {}) });
      assert.ok(joined.permissions.includes("join"));
      const heard = [];
      socket.on("message:new", (data) => heard.push(data.text));
      await server.publish({ event: "message:new", to: { rooms: [room] }, data: { text: "one" } });
      await eventually(() => heard.length === 1, 20_000);
      assert.equal((await ask(socket, "room:leave", room)).ok, true);
      await server.publish({ event: "message:new", to: { rooms: [room] }, data: { text: "not for us" } });
      await server.publish({ event: "message:new", to: { rooms: [other] }, data: { text: "two" } });
      await eventually(() => heard.includes("two"), 20_000);
      await server.publish({ event: "message:new", to: { rooms: [other] }, data: { text: "three" } });
      await eventually(() => heard.includes("three"), 20_000);
      assert.deepEqual(heard, ["one", "two", "three"]);
      socket.close();
    });

    test("a handler gets data, meta and a cursor that is a string", async () => {
      const room = fresh();
      const socket = await enter("ann", room);
      const event = next(socket, "message:new");
      const { id, partition, offset } = await server.publish({ id: `m-${room}`, event: "message:new", to: { rooms: [room] }, data: { a: [1, null] } });
      assert.equal(typeof partition, "number");
      assert.equal(typeof offset, "number");
      const got = await event;
      assert.equal(got.length, 3);
      const [data, meta, cursor] = got;
      assert.deepEqual(data, { a: [1, null] });
      assert.equal(meta.id, id);
      assert.equal(meta.room, room);
      assert.ok(Math.abs(meta.time - Date.now()) < 60_000, `time is ${meta.time}`);
      assert.equal(typeof cursor, "string");
      socket.close();
    });

    test("joins many rooms with one event", async () => {
      const rooms = [fresh(), fresh(), fresh()];
      const socket = await enter("ann");
      const answer = await ask(socket, "room:join", rooms);
      assert.equal(answer.ok, true);
      assert.deepEqual(answer.rooms.map((r) => [r.ok, r.room]), rooms.map((room) => [true, room]));
      const partly = await ask(socket, "room:join", [...rooms, "conversation:closed"]);
      assert.equal(partly.ok, false);
      assert.equal(partly.error.code, "forbidden");
      assert.deepEqual(partly.rooms.map((r) => r.ok), [true, true, true, false]);
      for (const room of rooms) {
        const event = next(socket, "message:new");
        await server.publish({ event: "message:new", to: { rooms: [room] }, data: room });
        assert.equal((await event)[0], room);
      }
      socket.close();
    });

    test("hears what goes to its user, and one copy of what goes to its user and two of its rooms", async () => {
      const user = `user-${++number}`;
      const [a, b] = [fresh(), fresh()];
      const socket = await enter(user, a, b);
      const got = [];
      socket.on("notification:new", (data, meta) => got.push([data, meta.room]));
      await server.publish({ event: "notification:new", to: { users: [user] }, data: 1 });
      await server.publish({ event: "notification:new", to: { rooms: [a, b], users: [user] }, data: 2 });
      await server.publish({ event: "notification:new", to: { rooms: [a] }, data: 3 });
      await eventually(() => got.length >= 3, 20_000);
      // Two partitions are not ordered against each other.
      assert.deepEqual(got.sort((x, y) => x[0] - y[0]), [[1, undefined], [2, undefined], [3, a]]);
      socket.close();
    });

    test("a user and a socket that are excepted hear nothing", async () => {
      const room = fresh();
      const [ann, annToo, bob] = [await enter("ann", room), await enter("ann", room), await enter("bob", room)];
      const heard = { ann: [], annToo: [], bob: [] };
      ann.on("e", (d) => heard.ann.push(d));
      annToo.on("e", (d) => heard.annToo.push(d));
      bob.on("e", (d) => heard.bob.push(d));
      await server.publish({ event: "e", to: { rooms: [room] }, except: { users: ["ann"] }, data: 1 });
      await server.publish({ event: "e", to: { rooms: [room] }, except: { sockets: [ann.id] }, data: 2 });
      await server.publish({ event: "e", to: { rooms: [room] }, data: 3 });
      await eventually(() => [ann, annToo, bob].length && heard.ann.includes(3) && heard.annToo.includes(3) && heard.bob.includes(3), 20_000);
      assert.deepEqual(heard, { ann: [3], annToo: [2, 3], bob: [1, 2, 3] });
      [ann, annToo, bob].forEach((s) => s.close());
    });

    test("binary data of a record arrives as bytes", async () => {
      const room = fresh();
      const socket = await enter("ann", room);
      const bytes = Buffer.from([0, 1, 2, 250, 255]);
      const event = next(socket, "file");
      await server.publish({ event: "file", to: { rooms: [room] }, dataBase64: bytes.toString("base64") });
      const [data, meta, cursor] = await event;
      assert.deepEqual(Buffer.from(data), bytes);
      assert.equal(typeof meta.id, "string");
      assert.equal(typeof cursor, "string");
      socket.close();
    });

    test("a volatile emit arrives without a cursor", async () => {
      const room = fresh();
      const socket = await enter("ann", room);
      const event = next(socket, "cursor:moved");
      const answer = await server.publish({ event: "cursor:moved", to: { rooms: [room] }, data: { x: 1 }, volatile: true });
      assert.equal(answer.partition, undefined);
      const got = await event;
      assert.equal(got.length, 2);
      assert.deepEqual(got[0], { x: 1 });
      assert.equal(typeof got[1], "object");
      socket.close();
    });

    test("2,000 events of a batch arrive in order, once", { timeout: 120_000 }, async () => {
      const room = fresh();
      const socket = await enter("ann", room);
      const got = [];
      socket.on("burst", (n) => got.push(n));
      const lines = Array.from({ length: 2000 }, (_, n) => JSON.stringify({ event: "burst", to: { rooms: [room] }, data: n }));
      const res = await server.call("POST", "/v1/emit/batch", lines.join("\n") + "\n", { headers: { "content-type": "application/x-ndjson" } });
      const answers = (await res.text()).trim().split("\n").map((line) => JSON.parse(line));
      assert.equal(answers.length, 2000);
      assert.ok(answers.every((a) => a.id), `an answer without id: ${JSON.stringify(answers.find((a) => !a.id))}`);
      await eventually(() => got.length >= 2000, 60_000, () => `${got.length} of 2,000 arrived`);
      assert.deepEqual(got, Array.from({ length: 2000 }, (_, n) => n));
      socket.close();
    });

    test("700 KB of data arrive whole", { timeout: 60_000 }, async () => {
      const room = fresh();
      const socket = await enter("ann", room);
      const event = next(socket, "big");
      const text = "ü".repeat(150_000);
      await server.publish({ event: "big", to: { rooms: [room] }, data: text });
      assert.equal((await event)[0], text);
      socket.close();
    });

    test("the same id is delivered once", async () => {
      const room = fresh();
      const socket = await enter("ann", room);
      const got = [];
      socket.on("once", (n) => got.push(n));
      for (const n of [1, 1, 2]) await server.publish({ id: `once-${room}-${n}`, event: "once", to: { rooms: [room] }, data: n });
      await eventually(() => got.includes(2), 20_000);
      assert.deepEqual(got, [1, 2]);
      socket.close();
    });

    test("every event is acked with one object: unknown, malformed, refused", async () => {
      const socket = await enter("ann");
      const cases = [
        [["what:is:this", {}], "unknown_event"],
        [["room:join"], "bad_request"],
        [["room:join", 5], "bad_request"],
        [["room:join", ""], "bad_request"],
        [["room:join", "no-type"], "bad_request"],
        [["room:join", { room: ["a:b"] }], "bad_request"],
        [["room:join", "user:bob"], "forbidden"],
        [["room:join", "conversation:closed"], "forbidden"],
        [["typing:start", { room: "conversation:closed" }], "not_joined"],
        [["typing:start", "x"], "bad_request"],
        [["presence:subscribe", { users: "ann" }], "bad_request"],
      ];
      for (const [args, code] of cases) {
        const answer = await ask(socket, ...args);
        assert.equal(answer.ok, false, JSON.stringify(args));
        assert.equal(answer.error.code, code, JSON.stringify(args));
        assert.equal(typeof answer.error.message, "string");
      }
      assert.equal(socket.connected, true);
      socket.close();
    });
  });
});

test("a burst of events over the limit is answered rate_limited, each of them", { timeout: 60_000 }, async () => {
  const socket = await connect(server.url, { token: await signed("fast") });
  const answers = await Promise.all(Array.from({ length: 400 }, () => ask(socket, "typing:stop", { room: "conversation:closed" })));
  const codes = new Set(answers.map((a) => a.error?.code));
  assert.ok(codes.has("rate_limited"), `codes are ${[...codes]}`);
  assert.equal(socket.connected, true);
  socket.close();
});

test("a payload over the limit ends its own connection and no other", { timeout: 60_000 }, async () => {
  const [loud, calm] = [await connect(server.url, { token: await signed("loud") }), await connect(server.url, { token: await signed("calm") })];
  const gone = next(loud, "disconnect");
  loud.emit("room:join", "x".repeat(1_100_000));
  assert.match((await gone)[0], /transport/);
  assert.equal((await ask(calm, "room:join", fresh())).ok, true);
  loud.close();
  calm.close();
});

test("polling: a body over the limit is answered 413", async () => {
  const token = await signed("loud");
  const text = await (await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`)).text();
  const { sid } = JSON.parse(text.slice(1));
  const url = `${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  await fetch(url, { method: "POST", body: `40${JSON.stringify({ token })}` });
  const res = await fetch(url, { method: "POST", body: "4" + "x".repeat(1_100_000) });
  assert.equal(res.status, 413);
});
