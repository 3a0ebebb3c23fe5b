// Typing, presence and membership: what concerns people rather than messages.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, next, transports } from "../lib/clients.js";
import { eventually, sleep } from "../lib/process.js";
import { Interlink } from "../lib/target.js";
import { signed } from "../lib/tokens.js";

const server = new Interlink();
before(() => server.start("live", { INTERLINK_PRESENCE_GRACE: "2s", INTERLINK_TYPING_TTL: "3s" }));
after(() => server.stop());

const enter = async (user, ...rooms) => {
  const socket = await connect(server.url, { token: await signed(user) });
  for (const room of rooms) assert.equal((await ask(socket, "room:join", room)).ok, true);
  return socket;
};

describe("typing", () => {
  test("the others hear start and stop, the typist does not", async () => {
    const room = "conversation:open-t1";
    const [ann, bob] = [await enter("ann", room), await enter("bob", room)];
    let own = 0;
    ann.on("typing:start", () => own++);
    const start = next(bob, "typing:start");
    assert.equal((await ask(ann, "typing:start", { room })).ok, true);
    const [data] = await start;
    assert.equal(data.room, room);
    assert.equal(data.userId, "ann");
    const stop = next(bob, "typing:stop");
    assert.equal((await ask(ann, "typing:stop", { room })).ok, true);
    assert.equal((await stop)[0].userId, "ann");
    assert.equal(own, 0);
    ann.close();
    bob.close();
  });

  for (const [how, end] of Object.entries({
    "expiry": () => {},
    "leave": (ann, room) => ask(ann, "room:leave", room),
    "disconnect": (ann) => ann.close(),
  })) {
    test(`it stops by itself on ${how}`, async () => {
      const room = `conversation:open-t-${how}`;
      const [ann, bob] = [await enter("ann", room), await enter("bob", room)];
      const start = next(bob, "typing:start");
      await ask(ann, "typing:start", { room });
      await start;
      const stop = next(bob, "typing:stop");
      await end(ann, room);
      assert.equal((await stop)[0].userId, "ann");
      ann.close();
      bob.close();
    });
  }
});

describe("presence", () => {
  test("a user is online while any tab is, and offline with the last", async () => {
    const watcher = await enter("watcher");
    const heard = [];
    watcher.on("user:online", (d) => heard.push(["online", d]));
    watcher.on("user:offline", (d) => heard.push(["offline", d]));
    const snapshot = await ask(watcher, "presence:subscribe", { users: ["tabby"] });
    assert.equal(snapshot.ok, true);
    assert.match(JSON.stringify(snapshot), /tabby/);
    const tabs = [await enter("tabby"), await enter("tabby"), await enter("tabby")];
    await eventually(() => heard.length === 1, 20_000);
    assert.equal(heard[0][1].userId, "tabby");
    assert.equal(heard[0][1].isOnline, true);
    tabs[0].close();
    tabs[1].close();
    await sleep(3000); // longer than the grace: still online
    assert.equal(heard.length, 1);
    tabs[2].close();
    await eventually(() => heard.length === 2, 20_000);
    assert.deepEqual([heard[1][0], heard[1][1].userId, heard[1][1].isOnline], ["offline", "tabby", false]);
    watcher.close();
  });

  test("a lost connection waits for its grace: a quick return is not a flap", async () => {
    const watcher = await enter("watcher");
    const heard = [];
    watcher.on("user:online", () => heard.push("online"));
    watcher.on("user:offline", () => heard.push("offline"));
    await ask(watcher, "presence:subscribe", { users: ["flappy"] });
    const flappy = await enter("flappy");
    await eventually(() => heard.length === 1, 20_000);
    const back = next(flappy, "connect");
    flappy.io.engine.close();
    await back;
    await sleep(4000); // twice the grace
    assert.deepEqual(heard, ["online"]);
    flappy.close();
    watcher.close();
  });

  test("who does not watch hears nothing", async () => {
    const bystander = await enter("bystander");
    let heard = 0;
    bystander.onAny((event) => (heard += event.startsWith("user:")));
    const other = await enter("other");
    other.close();
    await ask(bystander, "room:join", "conversation:open-b");
    assert.equal(heard, 0);
    bystander.close();
  });

  test("a status of one's own reaches the watchers", async () => {
    const [watcher, ann] = [await enter("watcher"), await enter("statue")];
    await ask(watcher, "presence:subscribe", { users: ["statue"] });
    const heard = [];
    watcher.on("user:online", (d) => heard.push(d.status));
    assert.equal((await ask(ann, "presence:set", { status: "away" })).ok, true);
    await eventually(() => heard.includes("away"), 20_000);
    ann.close();
    watcher.close();
  });
});

describe("membership", () => {
  for (const [name, list] of Object.entries(transports)) {
    test(`${name}: who is removed hears nothing more after a second, and may not come back`, async () => {
      const room = `conversation:m-${list.join("-")}`;
      server.authorizer.admit(room, "stay", "leave");
      const join = async (user) => {
        const socket = await connect(server.url, { token: await signed(user), transports: list });
        assert.equal((await ask(socket, "room:join", room)).ok, true);
        return socket;
      };
      const [stay, leave] = [await join("stay"), await join("leave")];
      const evicted = next(leave, "room:evicted");
      let after = 0;
      server.authorizer.remove(room, "leave");
      await server.publish({ control: "membership.changed", room, remove: ["leave"] });
      const from = Date.now();
      leave.on("message:new", (d) => (after += d.sent > from + 1000));
      const heard = [];
      stay.on("message:new", (d) => heard.push(d.sent));
      await eventually(async () => {
        await server.publish({ event: "message:new", to: { rooms: [room] }, data: { sent: Date.now() } });
        return Date.now() > from + 2500;
      }, 30_000);
      assert.equal((await evicted)[0].room, room);
      await eventually(() => heard.at(-1) > from + 2000, 20_000);
      assert.equal(after, 0);
      assert.equal((await ask(leave, "room:join", room)).error?.code, "forbidden");
      assert.equal((await ask(leave, "typing:start", { room })).error?.code, "not_joined");
      stay.close();
      leave.close();
    });
  }

  test("a stranger may neither join, type nor publish", async () => {
    const room = "conversation:private";
    server.authorizer.admit(room, "member");
    const [member, stranger] = [await enter("member", room), await enter("stranger")];
    let heard = 0;
    member.onAny((event) => (heard += !event.startsWith("session:")));
    assert.equal((await ask(stranger, "room:join", room)).error?.code, "forbidden");
    assert.equal((await ask(stranger, "typing:start", { room })).error?.code, "not_joined");
    const publish = await ask(stranger, "message:new", { room, id: "1", data: "hi" });
    assert.equal(publish.ok, false);
    assert.equal((await ask(member, "room:join", room)).ok, true);
    assert.equal(heard, 0);
    member.close();
    stranger.close();
  });

  test("the authorizer away is doubt: nobody is refused for good", { timeout: 120_000 }, async () => {
    const room = "conversation:doubt";
    server.authorizer.admit(room, "patient");
    const socket = await connect(server.url, { token: await signed("patient") });
    server.authorizer.away = true;
    const answer = await ask(socket, "room:join", room);
    assert.equal(answer.ok, false);
    assert.equal(answer.error.code, "unavailable");
    server.authorizer.away = false;
    await eventually(async () => (await ask(socket, "room:join", room)).ok, 60_000);
    socket.close();
  });

  test("an eviction by HTTP takes a user out of a room", async () => {
    const room = "conversation:open-evict";
    const socket = await enter("evictee", room);
    const evicted = next(socket, "room:evicted");
    assert.equal((await server.call("POST", `/v1/rooms/${room}/evict`, { users: ["evictee"] })).status, 202);
    assert.equal((await evicted)[0].room, room);
    socket.close();
  });
});
