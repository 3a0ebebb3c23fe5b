// Every recorded shape of the platform's callers and pages, sent as they send it. Started by test/platform.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { connected, next, refused } from "../lib/clients.js";
import { StandIn, api, createTopics, development, lines, producer, production, roomsOf, serverToken, session, system } from "../lib/platform.js";
import { eventually, sleep } from "../lib/process.js";
import { secrets } from "../lib/tokens.js";

const platform = new StandIn();
const people = {}; // user → {socket, heard, token}
let kafka;
const topics = [...new Set(lines("records").map((line) => line.topic))].filter((topic) => !topic.startsWith("any-"));

// open is a page's socket as lib/socket/socket-context-clean.tsx makes it.
const open = (user, token, more = {}) =>
  io(system.public, {
    auth: { token, userId: user, email: `${user}@example.test`, name: user }, query: { userId: user }, withCredentials: true, forceNew: true,
    transports: ["websocket", "polling"], reconnectionDelay: 200, extraHeaders: { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true" }, ...more,
  });

async function arrive(user, name) {
  const token = platform.admit(await session(user, { name }), user);
  const person = (people[user] = { token, heard: [], socket: open(user, token) });
  person.socket.onAny((event, data, ...rest) => person.heard.push({ event, data, rest }));
  await connected(person.socket);
  return person;
}

const emit = (user, event, ...args) => people[user].socket.emit(event, ...args);
const ask = (user, event, arg) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`no ack of ${event}`)), 15_000).unref();
  people[user].socket.emit(event, arg, (...got) => resolve(got));
});
const inRoom = (user, room) => eventually(async () => (await roomsOf(user)).includes(room), 20_000, () => `${user} is not in ${room}`);

before(async () => {
  Object.assign(platform.members, {
    c1: ["u1", "u2", "u3"], c2: ["u1", "u2"], c3: ["u1", "u2", "u5"], c4: ["u1", "u2"], c5: ["u1", "u2"], c6: ["u1", "u2"], c7: ["u1"],
  });
  for (const user of ["u1", "u2", "u3", "u4", "u5"]) { // those of line 23 and 24 come with the record
    platform.listed[user] = Object.keys(platform.members).filter((id) => platform.members[id].includes(user) && id !== "c6" && id !== "c7");
  }
  platform.groups.g1 = ["u1", "u2"];
  platform.unread.u1 = { c1: 3 };
  await platform.start(system.standIn);
  kafka = await producer();
  await createTopics(kafka.kafka, topics);
  for (const [user, name] of Object.entries({ u1: "Ana", u2: "Bo", u3: "Cy", u4: "Di", u5: "Ed" })) await arrive(user, name);
  for (const user of ["u1", "u2", "u3"]) {
    emit(user, "join-students-interlinked", { userId: user });
    emit(user, "join_room", "post:p1:comments");
    emit(user, "join:content", "post:0b7d3c1e-5a52-4a0f-9d0e-3f6d0a5b7c11");
    await inRoom(user, "post:p1:comments");
    await inRoom(user, "feed:students-interlinked-main");
  }
}, { timeout: 120_000 });

after(async () => {
  for (const { socket } of Object.values(people)) socket.close();
  await kafka?.close();
  platform.stop();
});

// own gives a line names of its own: what it says must not be taken for a repetition of another line's.
const own = (line) => JSON.parse(line.text.replace(/\b(?:m|n|k|rx|s|p)\d+\b/g, (id) => (id === "p0" || line.topic?.endsWith("commented") && id === "p1" || line.topic?.startsWith("students.comment") && id === "p1" ? id : `${id}x${line.number}${line.topic ? "k" : line.path ? "h" : "s"}`)));

// where are the users whom an output concerns.
const named = (room) => (room === "students-interlinked-main" ? "feed:students-interlinked-main" : room);
async function concerned(output) {
  const users = new Set(output.users ?? []);
  for (const room of output.rooms ?? []) {
    const { users: there } = await (await api("GET", `/v1/rooms/${encodeURIComponent(named(room))}`)).json();
    for (const user of there) users.add(typeof user === "string" ? user : user.user);
  }
  for (const user of output.except ?? []) users.delete(user);
  return [...users].filter((user) => people[user]);
}

const same = (a, b) => {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
};
const count = (user, output) => people[user].heard.filter((h) => h.event === output.event && same(h.data, output.data)).length;

// expected remembers who has to have heard what, once; it is looked at again at the end.
const expected = [];
async function arrives(outputs, say) {
  const whom = [];
  for (const output of outputs) whom.push(await concerned(output));
  await say();
  for (const [i, output] of outputs.entries()) {
    for (const user of whom[i]) {
      await eventually(() => count(user, output) > 0, 20_000, () =>
        `${user} did not hear ${output.event} ${JSON.stringify(output.data).slice(0, 300)} but ${JSON.stringify(people[user].heard.filter((h) => h.event === output.event).map((h) => h.data)).slice(0, 1500)}`);
      expected.push({ user, output });
    }
    for (const user of Object.keys(people).filter((u) => !whom[i].includes(u))) expected.push({ user, output, never: true });
  }
}

describe("records of kafkajs", { timeout: 240_000 }, () => {
  for (const line of lines("records")) {
    test(`line ${line.number}: ${line.topic} ${line.value?.type ?? ""}`, async () => {
      const it = own(line);
      if (!it.expect) {
        if (topics.includes(it.topic)) await kafka.send(it.topic, it.value);
        return; // that nothing came of it is seen at the end
      }
      const outputs = [...(it.before ?? []), it.expect, ...(it.also ?? [])];
      const events = outputs.filter((o) => !o.control);
      const control = outputs.find((o) => o.control);
      if (control?.remove?.length) platform.members.c3 = platform.members.c3.filter((u) => u !== control.remove[0]);
      if (it.value.type === "PARTICIPANTS_ADDED") platform.members.c3.push("u4"); // u5 is there, and nobody else is
      await arrives(events, () => kafka.send(it.topic, it.value, it.topic === "conversation-events" ? it.key : undefined));
      const id = control?.room.slice("conversation:".length);
      for (const user of (control?.add ?? []).filter((u) => people[u])) {
        if (platform.members[id].includes(user)) await inRoom(user, control.room);
        else await eventually(() => platform.asked.some((a) => a.user === user && a.path.includes(`/${id}/`)), 20_000, () => `nobody asked whether ${user} is in ${id}`);
      }
      for (const user of control?.add ?? []) { // a record adds nobody who is none
        if (!platform.members[id].includes(user)) assert.ok(!(await roomsOf(user)).includes(control.room), `${user} is in ${control.room}`);
      }
      for (const user of control?.remove ?? []) await eventually(async () => !(await roomsOf(user)).includes(control.room));
    });
  }
});

describe("HTTP", { timeout: 120_000 }, () => {
  const keys = { "Bearer <secret>": [`Bearer ${secrets.key}`, `Bearer ${serverToken}`] };
  for (const line of lines("http").filter((l) => l.direction !== "to-platform")) {
    test(`line ${line.number}: ${line.method} ${line.path} ${line.body?.event ?? ""}`, async () => {
      const it = own(line);
      const headers = { ...it.headers };
      if (headers.authorization?.includes("session token")) headers.authorization = `Bearer ${people.u1.token}`;
      headers.authorization = keys[headers.authorization]?.[it.body?.target === "group_members" ? 1 : 0] ?? headers.authorization;
      if (!headers.authorization) delete headers.authorization;
      if (headers.connection) delete headers.connection; // fetch sets its own
      const gateway = !it.path.startsWith("/api/");
      if (it.body?.target === "group_members") {
        for (const user of ["u1", "u2"]) emit(user, "group:join", { groupId: "g1" });
        for (const user of ["u1", "u2"]) await inRoom(user, "group:g1");
      }
      const call = () => fetch((gateway ? system.gateways[0].url : system.router) + it.path, { method: it.method, headers, body: it.body ? JSON.stringify(it.body) : undefined });
      if (it.expect?.emits) {
        await arrives(it.expect.emits, async () => {
          const res = await call();
          const body = await res.json();
          assert.equal(res.status, it.expect.status, JSON.stringify(body));
          assert.deepEqual(Object.keys(body).sort(), ["message", "rooms", "success", "timestamp"]);
        });
        return;
      }
      const res = await call();
      if (it.expect === null) return assert.ok(res.status >= 400, `${res.status}`); // /metrics, and an event that goes to nobody
      assert.equal(res.status, it.expect.status, await res.clone().text());
      for (const [name, want] of Object.entries(it.expect.headers ?? {})) {
        const got = res.headers.get(name) ?? "";
        if (!want.startsWith("(")) assert.equal(got, want, name);
        else for (const part of ["access-control-allow-credentials", "access-control-allow-origin"]) assert.ok(got.toLowerCase().includes(part), got);
      }
      if (it.path === "/health") {
        const body = await res.json();
        for (const name of Object.keys(it.expect.body)) assert.equal(typeof body[name], typeof it.expect.body[name], name);
        assert.equal(body.status, "healthy");
        assert.ok(body.connections >= 1 && body.activeRooms >= 1, JSON.stringify(body));
      }
      if (it.path === "/api/emit") {
        const body = await res.json();
        if (res.status !== 401) assert.equal(body.success, false); // as the old server answers
        assert.ok(body.error);
      }
    });
  }

  test("questions to the platform are its own routes, with the user's cookie", async () => {
    const [, check, foreign, group, unread] = lines("http").filter((l) => l.direction === "to-platform");
    for (const line of lines("http").filter((l) => l.direction === "to-platform" && l.path.startsWith("/api/messages/conversations?"))) {
      const asked = platform.asked.filter((a) => a.path === line.path && a.user === "u1");
      assert.ok(asked.length > 0 && asked[0].cookie.includes(`${production}=${people.u1.token}`), JSON.stringify(asked));
      assert.ok(!asked[0].cookie.includes("undefined"));
    }
    for (const room of ["conversation:c1", "conversation:c2"]) assert.ok((await roomsOf("u1")).includes(room)); // listed
    platform.members.c9 = ["u2"];
    assert.deepEqual((await ask("u1", "conversation:join", { conversationId: "c9" })).map((a) => [a.success, a.code]), [[false, "forbidden"]]);
    assert.ok(platform.asked.some((a) => a.path === foreign.path && a.user === "u1"));
    assert.ok(platform.asked.some((a) => a.path === check.path.replace("c1", "c6") && a.user === "u1")); // of line 23
    assert.equal((await ask("u3", "group:join", { groupId: "g1" }))[0].code, "forbidden");
    assert.ok(platform.asked.some((a) => a.path === group.path && a.user === "u3"));
    const reply = next(people.u1.socket, unread.expect.event);
    emit("u1", "request-unread-counts", { userId: "u1" });
    const [data] = await reply;
    assert.deepEqual({ userId: data.userId, counts: data.counts }, { userId: unread.expect.data.userId, counts: unread.expect.data.counts });
    assert.ok(platform.asked.some((a) => a.path === unread.path && a.user === "u1"));
  });

  test("a platform that can't be asked is never answered for with zeros", async () => {
    await sleep(2100); // an answer is shared for two seconds
    platform.away = true;
    const reply = next(people.u1.socket, "unread-counts-error");
    emit("u1", "request-unread-counts", { userId: "u1" });
    const [data] = await reply;
    platform.away = false;
    assert.ok(data.error && data.timestamp);
  });
});

describe("handshakes", { timeout: 60_000 }, () => {
  for (const line of lines("client-events").filter((l) => l.event === "$connect")) {
    test(`line ${line.number}: ${JSON.stringify(line.args[0]).slice(0, 70)}`, async () => {
      const auth = { ...line.args[0] };
      if (auth.token) auth.token = await session("u1", { expires: auth.token.startsWith("<expired") ? -60 : 3600 });
      if (auth.token && line.effect.accept) platform.admit(auth.token, "u1");
      if (auth.internalApiKey === "<secret>") auth.internalApiKey = secrets.key;
      const socket = io(system.public, {
        auth, query: line.query, transports: line.transports ?? ["websocket", "polling"], forceNew: true, reconnection: false, extraHeaders: line.headers,
      });
      if (line.effect.refuse) {
        const error = await refused(socket);
        assert.equal(error.message, line.effect.refuse.message);
        assert.equal(error.data.code, line.effect.refuse.data.code);
        assert.ok(error.data.message && error.data.action);
        return;
      }
      const ready = line.effect.accept === "user" ? next(socket, "session:ready") : null;
      await connected(socket);
      if (ready) {
        const [data] = await ready;
        assert.equal(data.userId, line.effect.user);
        for (const room of line.effect.rooms) assert.ok(data.rooms.includes(room));
      }
      socket.close();
    });
  }

  for (const [name, how] of Object.entries({ production, development })) {
    test(`the session cookie under its ${name} name`, async () => {
      const token = platform.admit(await session("u1", { cookie: how }), "u1");
      const socket = io(system.public, { transports: ["polling"], forceNew: true, reconnection: false, extraHeaders: { cookie: `${how}=${token}` } });
      await connected(socket);
      socket.close();
    });
  }
});

describe("events of pages", { timeout: 180_000 }, () => {
  const forwarded = [];
  let reader;
  before(async () => {
    reader = kafka.kafka.consumer({ groupId: `reads-client-events-${Date.now()}` });
    await reader.connect();
    await reader.subscribe({ topic: "interlink.client-events", fromBeginning: true });
    await reader.run({ eachMessage: async ({ message }) => forwarded.push(JSON.parse(message.value)) });
  });
  after(() => reader?.disconnect());

  // what an op does, seen from outside
  const effects = {
    join: async (line, say) => {
      await say();
      await inRoom("u1", named(line.effect.room));
    },
    leave: async (line, say) => {
      await say();
      await eventually(async () => !(await roomsOf("u1")).includes(named(line.effect.room)));
      for (const [event, arg] of [["join-students-interlinked", {}], ["join_room", "post:p1:comments"], ["group:join", { groupId: "g1" }], ["conversation:join", { conversationId: "c1" }]]) emit("u1", event, arg);
      await inRoom("u1", "conversation:c1");
      await inRoom("u1", "feed:students-interlinked-main");
    },
    keep: async (line, say) => {
      const rooms = (await roomsOf("u1")).sort();
      await say();
      assert.equal((await ask("u1", line.event, line.args[0]))[0].success, true);
      assert.deepEqual((await roomsOf("u1")).sort(), rooms);
    },
    own: async (line, say) => {
      await say();
      assert.equal((await ask("u1", line.event, line.args[0]))[0].success, true);
      assert.equal((await ask("u1", line.event, { userId: "u2" }))[0].code, "forbidden");
    },
    typing: async (line, say) => {
      const { room, active } = line.effect;
      const [post, conversation] = [room.startsWith("post:") ? room.split(":")[1] : null, room.split(":")[1]];
      await inRoom("u1", room);
      await sleep(2100); // one start in two seconds of a user
      if (!active) await ask("u1", ...(post ? ["students-interlinked:typing", { postId: post }] : ["conversation:typing:start", { conversationId: conversation }]));
      else await ask("u1", ...(post ? ["students-interlinked:stopped-typing", { postId: post }] : ["conversation:typing:stop", { conversationId: conversation }]));
      await sleep(active ? 0 : 300);
      const before = people.u1.heard.length;
      const theirs = post
        ? [[line.effect.as, { postId: post, userId: "u1", userName: "Ana", userImage: null }]]
        : [[active ? "typing:start" : "typing:stop", { conversationId: conversation, userId: "u1", ...(active ? { username: "Ana" } : {}) }],
          ["conversation:typing", { conversationId: conversation, userId: "u1", userName: "Ana", isTyping: active }],
          [active ? "user:typing:start" : "user:typing:stop", { conversationId: conversation, userId: "u1" }]];
      const heard = theirs.map(([event]) => next(people.u2.socket, event));
      await say();
      for (const [i, [event, data]] of theirs.entries()) {
        const [got] = await heard[i];
        for (const [field, want] of Object.entries(data)) {
          if (field === "userName" && !active) continue; // the end may not say it
          assert.deepEqual(got[field], want, `${event} ${JSON.stringify(got)}`);
        }
      }
      assert.ok(!people.u1.heard.slice(before).some((h) => /typing/.test(h.event)), "the typist hears himself");
      if (active) await ask("u1", ...(post ? ["students-interlinked:stopped-typing", { postId: post }] : ["conversation:typing:stop", { conversationId: conversation }]));
    },
    watch: async (line, say) => {
      const reply = line.effect.reply ? next(people.u1.socket, line.effect.reply) : null;
      await say();
      if (!reply) return;
      const [data] = await reply;
      if (line.effect.reply === "presence:status") {
        assert.deepEqual([data.userId, data.isActive, typeof data.status, "lastSeen" in data], ["u2", true, "string", true]);
      } else {
        assert.deepEqual(Object.keys(data.users).sort(), line.effect.users);
        for (const state of Object.values(data.users)) assert.deepEqual(Object.keys(state).sort(), ["activity", "isOnline", "lastSeen"]);
        assert.ok(data.timestamp);
      }
    },
    status: async (line, say) => {
      await say();
      await eventually(async () => (await (await api("GET", "/v1/presence?users=u1")).json()).users.u1.status === line.effect.status);
    },
    received: async (line, say) => {
      await say();
      assert.equal((await ask("u1", line.event, line.args[0]))[0].success, true);
    },
    forward: async (line, say) => {
      await say();
      await eventually(() => forwarded.some((r) => r.event === line.event && r.user === "u1" && same(r.data, line.args[0])), 30_000, () => `${line.event} is not in interlink.client-events`);
    },
    ask: async (line, say) => {
      const reply = next(people.u1.socket, line.effect.reply);
      await say();
      const [data] = await reply;
      assert.deepEqual(data.counts.conversationUnreadCounts, { c1: 3 });
    },
  };

  for (const line of lines("client-events").filter((l) => l.event !== "$connect" && l.event !== "server:emit")) {
    test(`line ${line.number}: ${line.event} ${line.effect?.op ?? "refused"}`, async () => {
      if (line.effect === null) {
        emit("u1", line.event, ...line.args);
        const [answer] = await ask("u1", line.event, line.args[0]);
        assert.deepEqual([answer.success, answer.code], [false, "unknown_event"]);
        assert.ok(answer.error);
        return;
      }
      const say = async () => {
        if (!line.ack) return emit("u1", line.event, ...line.args);
        const got = await ask("u1", line.event, line.args[0]);
        assert.equal(got.length, 1);
        if (line.effect.ack) assert.deepEqual(got[0], line.effect.ack);
      };
      await effects[line.effect.op](line, say);
    });
  }

  test("rooms of others stay closed, whatever the event is called", async () => {
    platform.members.c8 = ["u2"];
    for (const [event, arg] of [["room:join", { roomId: "user:u2" }], ["room:join", { roomId: "conversation:c8", roomType: "chat" }],
      ["join_room", "conversation:c8"], ["join:content", "user:u2"], ["join:content", "presence:u2"], ["conversation:join", { conversationId: "c8" }]]) {
      assert.equal((await ask("u1", event, arg))[0].success, false, event);
    }
    assert.ok(!(await roomsOf("u1")).some((r) => r === "user:u2" || r === "conversation:c8"));
  });

  test("conversations are kept over conversation:leave and a new connection", async () => {
    emit("u1", "conversation:leave", { conversationId: "c1" });
    const back = new Promise((resolve) => people.u1.socket.once("connect", resolve));
    people.u1.socket.io.engine.close();
    await back;
    await inRoom("u1", "conversation:c1");
    const output = { event: "message:deleted", rooms: ["conversation:c1"], data: { messageId: "after", conversationId: "c1", deletedBy: "u1" } };
    await arrives([output], () => kafka.send("messages", { type: "MESSAGE_DELETED", data: output.data, metadata: { userId: "u1" } }));
  });
});

describe("the platform as a socket", { timeout: 90_000 }, () => {
  const service = () => io(system.public, { auth: { source: "api-server", timestamp: Date.now(), internalApiKey: secrets.key }, forceNew: true, transports: ["websocket", "polling"] });

  for (const line of lines("client-events").filter((l) => l.event === "server:emit")) {
    test(`line ${line.number}: ${line.args[0].event} by a ${line.principal}`, async () => {
      if (line.effect.refuse) {
        assert.equal((await ask("u1", "server:emit", line.args[0]))[0].error.code, line.effect.refuse);
        return;
      }
      const it = own(line);
      const socket = service();
      // lib/socket/socket-emitter.ts emits at once, without an ack, when it is connected
      await arrives(it.effect.emits, async () => {
        await connected(socket);
        socket.emit("server:emit", it.args[0]);
      });
      socket.close();
    });
  }

  test("what is emitted before CONNECT is answered counts", async () => {
    const output = { event: "message:translated", users: ["u1"], data: { messageId: "early" } };
    const socket = service();
    await arrives([output], () => socket.emit("server:emit", { target: "user:u1", event: output.event, data: output.data }));
    socket.close();
  });

  test("it may server:emit, and nothing else", async () => {
    const socket = await connected(service());
    for (const [event, arg] of [["room:join", "conversation:c1"], ["conversation:join", { conversationId: "c1" }], ["typing:start", { room: "conversation:c1" }]]) {
      const answer = await new Promise((resolve) => socket.emit(event, arg, resolve));
      assert.equal(answer.error.code, "forbidden");
    }
    assert.equal((await new Promise((resolve) => socket.emit("server:emit", { target: "", event: "x" }, resolve))).error.code, "bad_request");
    const answer = await new Promise((resolve) => socket.emit("server:emit", { target: "user:u1", event: "x", data: 1 }, resolve));
    assert.deepEqual([answer.ok, answer.success], [true, true]);
    socket.close();
  });
});

test("everybody heard what concerns him once, and nothing that does not", { timeout: 60_000 }, async () => {
  await sleep(2000);
  const wrong = [];
  const wanted = new Map(); // the same may be said by several lines
  for (const { user, output, never } of expected) {
    const key = JSON.stringify([user, output.event, output.data]);
    wanted.set(key, { user, output, times: (wanted.get(key)?.times ?? 0) + (never ? 0 : 1) });
  }
  for (const { user, output, times } of wanted.values()) {
    const got = count(user, output);
    if (got !== times && !/typing|^messages:read$/.test(output.event)) wrong.push(`${user} heard ${output.event} ${JSON.stringify(output.data).slice(0, 200)} ${got} times, want ${times}`);
  }
  assert.deepEqual(wrong, []);
  const secret = Object.values(people).flatMap((p) => p.heard).filter((h) => /originalContent":"|"correctAnswer"/.test(JSON.stringify(h.data)) && h.event !== "message:thread_reply");
  assert.deepEqual(secret, []);
  assert.ok(expected.filter((e) => !e.never).length > 100);
});
