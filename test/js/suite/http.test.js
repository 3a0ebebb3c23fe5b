// The HTTP API: who may call it, and what a bad call is told.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, next } from "../lib/clients.js";
import { eventually } from "../lib/process.js";
import { Interlink } from "../lib/target.js";
import { secrets, signed } from "../lib/tokens.js";

const server = new Interlink();
before(() => server.start("http", { INTERNAL_API_KEY: `${secrets.key},second-key-0123456789abcdef01234567` }));
after(() => server.stop());

const calls = [
  ["POST", "/v1/emit", { event: "e", to: { rooms: ["conversation:1"] } }],
  ["POST", "/v1/emit/batch", '{"event":"e","to":{"rooms":["conversation:1"]}}\n'],
  ["GET", "/v1/rooms/conversation:1"],
  ["GET", "/v1/presence?users=a,b"],
  ["GET", "/v1/users/ann/sessions"],
  ["POST", "/v1/users/ann/disconnect", {}],
  ["POST", "/v1/rooms/conversation:1/evict", { users: ["ann"] }],
];

describe("authentication of /v1", () => {
  for (const [method, path, body] of calls) {
    for (const [name, headers] of Object.entries({
      "without a key": {},
      "with a wrong key": { authorization: "Bearer wrong" },
      "with a key that is too short by one": { authorization: `Bearer ${secrets.key.slice(0, -1)}` },
      "with a key that is too long by one": { authorization: `Bearer ${secrets.key}x` },
      "with another scheme": { authorization: `Basic ${secrets.key}` },
      "with an empty key": { authorization: "Bearer " },
      "with a wrong x-api-key": { "x-api-key": "wrong" },
      "with the key as a query parameter": { "x-nothing": "1" },
    })) {
      test(`${method} ${path} ${name} is 401`, async () => {
        const suffix = name.includes("query") ? `${path.includes("?") ? "&" : "?"}key=${secrets.key}` : "";
        const res = await server.call(method, path + suffix, body, { key: null, headers });
        assert.equal(res.status, 401);
        assert.match(res.headers.get("content-type"), /^application\/problem\+json/);
        assert.equal((await res.json()).type, "urn:interlink:problem:unauthenticated");
        assert.equal(res.headers.get("access-control-allow-origin"), null);
      });
    }
    test(`${method} ${path} with either key, in either header, is let in`, async () => {
      for (const headers of [
        { authorization: `Bearer ${secrets.key}` }, { "x-api-key": secrets.key },
        { "x-api-key": "second-key-0123456789abcdef01234567" },
      ]) {
        const res = await server.call(method, path, body, { key: null, headers });
        assert.ok(res.status < 300, `${res.status} ${await res.text()}`);
      }
    });
  }

  test("a path that does not exist is 401 without a key and 404 with one", async () => {
    assert.equal((await server.call("GET", "/v1/nothing", undefined, { key: null })).status, 401);
    assert.equal((await server.call("GET", "/v1/nothing")).status, 404);
  });
});

describe("bad bodies are told what is wrong", () => {
  for (const [name, body, field] of [
    ["no JSON", "{", ""],
    ["a list", "[]", ""],
    ["no event", { to: { rooms: ["conversation:1"] } }, "event"],
    ["no target", { event: "e" }, "to"],
    ["an empty target", { event: "e", to: {} }, "to"],
    ["a room without a type", { event: "e", to: { rooms: ["nowhere"] } }, "nowhere"],
    ["rooms that are no list", { event: "e", to: { rooms: "conversation:1" } }, "rooms"],
    ["data twice", { event: "e", to: { rooms: ["conversation:1"] }, data: 1, dataBase64: "AA==" }, "data"],
    ["base64 that is none", { event: "e", to: { rooms: ["conversation:1"] }, dataBase64: "***" }, "dataBase64"],
    ["a reserved event name", { event: "connect", to: { rooms: ["conversation:1"] } }, "event"],
  ]) {
    test(name, async () => {
      const res = await server.call("POST", "/v1/emit", body);
      assert.equal(res.status, 400);
      const problem = await res.json();
      assert.equal(problem.type, "urn:interlink:problem:bad_request");
      assert.ok(JSON.stringify(problem).includes(field), `${JSON.stringify(problem)} does not name ${field}`);
    });
  }

  test("a body over the limit is 413", async () => {
    const res = await server.call("POST", "/v1/emit", { event: "e", to: { rooms: ["conversation:1"] }, data: "x".repeat(1_100_000) });
    assert.equal(res.status, 413);
    assert.equal((await res.json()).type, "urn:interlink:problem:too_large");
  });
});

describe("questions and commands", () => {
  test("rooms, sessions and presence know a socket that is there", async () => {
    const socket = await connect(server.url, { token: await signed("quinn") });
    const room = "conversation:open-q";
    assert.equal((await ask(socket, "room:join", room)).ok, true);
    const members = await (await server.call("GET", `/v1/rooms/${room}`)).json();
    assert.deepEqual(members, { room, sockets: members.sockets, users: members.users });
    assert.ok(JSON.stringify(members.users).includes("quinn"));
    const { sessions } = await (await server.call("GET", "/v1/users/quinn/sessions")).json();
    assert.equal(sessions.length, 1);
    assert.equal(sessions[0].socket, socket.id);
    assert.ok(sessions[0].rooms.includes(room));
    await eventually(async () => {
      const { users } = await (await server.call("GET", "/v1/presence?users=quinn,nobody")).json();
      return users.quinn.online && users.quinn.sockets === 1 && !users.nobody?.online;
    }, 20_000);
    socket.close();
  });

  test("a disconnected user's sockets end for good, other users' stay", async () => {
    const [gone, stays] = [await connect(server.url, { token: await signed("gone") }), await connect(server.url, { token: await signed("stays") })];
    const ended = next(gone, "disconnect");
    assert.equal((await server.call("POST", "/v1/users/gone/disconnect", { reason: "test" })).status, 202);
    assert.equal((await ended)[0], "io server disconnect");
    assert.equal((await ask(stays, "room:join", "conversation:open-q")).ok, true);
    stays.close();
  });

  test("/health says that it is well, without a key", async () => {
    const res = await fetch(`${server.url}/health`);
    assert.equal(res.status, 200);
    assert.match(res.headers.get("content-type"), /json/);
  });

  test("the admin pages are not on the public port", async () => {
    for (const path of ["/metrics", "/debug/pprof/", "/livez"]) assert.equal((await fetch(server.url + path)).status, 404, path);
  });
});
