// Who may connect, with which credential, from where, and what the others are told.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, connected, matrix, next, open, refused } from "../lib/clients.js";
import { eventually } from "../lib/process.js";
import { Interlink, origin } from "../lib/target.js";
import { cookieName, secrets, session, signed } from "../lib/tokens.js";

const server = new Interlink();
before(() => server.start("connect"));
after(() => server.stop());

matrix((label, options) => {
  describe(label, () => {
    test("a session cookie of NextAuth connects, and session:ready comes first", async () => {
      const socket = open(server.url, { ...options, cookie: `theme=dark; ${cookieName}=${await session("ann")}` });
      const ready = next(socket, "session:ready");
      await connected(socket);
      const [data, meta, cursor] = await ready;
      assert.equal(data.userId, "ann");
      assert.equal(data.recovered, false);
      assert.equal(data.reason, "new");
      assert.ok(data.rooms.includes("user:ann"), `rooms are ${data.rooms}`);
      assert.equal(typeof meta.time, "number");
      assert.equal(typeof cursor, "string");
      socket.close();
    });

    for (const [name, make] of [["an HS256 token", signed], ["a session token of NextAuth", session]]) {
      test(`${name} in auth.token connects`, async () => {
        const socket = open(server.url, { ...options, token: await make("bob") });
        const ready = next(socket, "session:ready");
        await connected(socket);
        assert.equal((await ready)[0].userId, "bob");
        socket.close();
      });
    }

    const refusals = {
      "without any credential": async () => ({}),
      "with a token of another secret": async () => ({ token: await signed("eve", { secret: "x".repeat(48) }) }),
      "with an expired token": async () => ({ token: await signed("eve", { expires: -60 }) }),
      "with a cookie sealed by another secret": async () => ({ cookie: `${cookieName}=${await session("eve", { secret: "y".repeat(48) })}` }),
      "with something that is no token": async () => ({ token: "not-a-token" }),
    };
    for (const [name, credentials] of Object.entries(refusals)) {
      test(`${name} it is refused with a reason and does not come back`, async () => {
        const socket = open(server.url, { ...options, ...(await credentials()) });
        const error = await refused(socket);
        assert.match(error.message, /Authentication/);
        assert.doesNotMatch(error.message, /websocket|transport|timeout/i);
        assert.match(error.data.code, /^(unauthenticated|token_expired)$/);
        assert.equal(typeof error.data.message, "string");
        assert.equal(typeof error.data.action, "string");
      });
    }

    test("a namespace of its own is refused", async () => {
      const socket = open(server.url, { ...options, token: await signed("ann"), namespace: "/admin" });
      await assert.rejects(connected(socket), /Invalid namespace/);
      socket.close();
      socket.io.engine.close();
    });

    test("a foreign Origin is refused", async () => {
      const socket = open(server.url, { ...options, token: await signed("ann"), origin: "https://evil.example.org" });
      const error = await refused(socket);
      assert.match(error.message, /websocket error|xhr poll error/);
    });

    test("the configured Origin connects", async () => {
      const socket = await connect(server.url, { ...options, token: await signed("ann"), origin });
      socket.close();
    });

    test("what is emitted before and right after the connect is heard", async () => {
      const socket = open(server.url, { ...options, token: await signed("ann") });
      const early = ask(socket, "room:join", "conversation:open-early");
      const late = new Promise((resolve, reject) => {
        socket.once("connect", () => ask(socket, "room:join", "conversation:open-late").then(resolve, reject));
      });
      assert.equal((await early).ok, true);
      assert.equal((await late).ok, true);
      socket.close();
    });

    test("it ends on the transport that it asked for", async () => {
      const socket = await connect(server.url, { ...options, token: await signed("ann") });
      await eventually(() => socket.io.engine.transport.name === options.transports.at(-1), 20_000);
      assert.equal((await ask(socket, "room:join", "conversation:open-up")).ok, true);
      socket.close();
    });
  });
});

describe("Origin, request by request", () => {
  const open = "/socket.io/?EIO=4&transport=polling";
  const get = (headers) => fetch(server.url + open, { headers });

  test("polling: foreign 403 without CORS headers, configured with them, absent passes", async () => {
    const foreign = await get({ origin: "https://evil.example.org" });
    assert.equal(foreign.status, 403);
    assert.equal(foreign.headers.get("access-control-allow-origin"), null);
    const ours = await get({ origin });
    assert.equal(ours.status, 200);
    assert.equal(ours.headers.get("access-control-allow-origin"), origin);
    assert.equal(ours.headers.get("access-control-allow-credentials"), "true");
    assert.equal((await get({})).status, 200);
  });

  test("an Origin that only begins like ours is foreign", async () => {
    assert.equal((await get({ origin: origin + ".evil.example.org" })).status, 403);
    assert.equal((await get({ origin: origin.toUpperCase() + "/" })).status, 403);
    assert.equal((await get({ origin: "null" })).status, 403);
  });

  test("the preflight of the platform's page is answered", async () => {
    const res = await fetch(server.url + open, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type,authorization" },
    });
    assert.ok(res.status === 200 || res.status === 204, `status ${res.status}`);
    assert.equal(res.headers.get("access-control-allow-origin"), origin);
    assert.match(res.headers.get("access-control-allow-headers") ?? "", /content-type/i);
  });
});

describe("sessions that end", () => {
  test("a token that expires ends its socket", { timeout: 60_000 }, async () => {
    const socket = await connect(server.url, { token: await signed("ann", { expires: -12 }), reconnection: false });
    await next(socket, "disconnect", 40_000); // 15 s leeway
    socket.close();
  });

  test("the derived key decides nothing: an HS256 token signed with the NextAuth secret is refused", async () => {
    await refused(open(server.url, { token: await signed("ann", { secret: secrets.nextauth }) }));
  });
});
