// The Edu Matrix platform, seen from its socket server: its tokens, its routes that know who is in what, and the system
// that test/platform has started for a suite.
import { createHash, hkdfSync } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { EncryptJWT, base64url, calculateJwkThumbprint } from "jose";
import { Kafka, Partitioners, logLevel } from "kafkajs";
import { root } from "./process.js";
import { secrets } from "./tokens.js";

export const system = JSON.parse(process.env.PLATFORM ?? "{}");
export const serverToken = "test-server-token-0123456789abcdef";
export const production = "__Secure-next-auth.session-token";
export const development = "next-auth.session-token";

// lines are the recorded shapes of one file, each with its number.
export const lines = (name) =>
  readFileSync(join(root, "test/platform/testdata", `platform-${name}.jsonl`), "utf8").trim().split("\n").map((text, i) => ({ text, number: i + 1, ...JSON.parse(text) }));

// session is a token of next-auth 5 beta, as its cookie of that name holds it: the name is the salt.
export async function session(user, { name = user, cookie = production, expires = 3600 } = {}) {
  const info = `Auth.js Generated Encryption Key (${cookie})`;
  const key = new Uint8Array(hkdfSync("sha256", secrets.nextauth, cookie, info, 64));
  const kid = await calculateJwkThumbprint({ kty: "oct", k: base64url.encode(key) }, "sha512");
  const now = Math.floor(Date.now() / 1000);
  return new EncryptJWT({ sub: user, id: user, name, email: `${user}@example.test`, username: user })
    .setProtectedHeader({ alg: "dir", enc: "A256CBC-HS512", kid })
    .setIssuedAt(now - (expires < 0 ? 7200 : 0)).setExpirationTime(now + expires).setJti(crypto.randomUUID()).encrypt(key);
}

// producer publishes as lib/kafka.ts does: LegacyPartitioner, the clock as key.
export async function producer() {
  const kafka = new Kafka({ clientId: "edu-matrix-main-app", brokers: system.brokers, logLevel: logLevel.ERROR });
  const made = kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner: Partitioners.LegacyPartitioner });
  await made.connect();
  return { kafka, send: (topic, value, key = String(Date.now())) => made.send({ topic, messages: [{ key, value: JSON.stringify(value) }] }), close: () => made.disconnect() };
}

// topics that the platform has, with their partitions.
export async function createTopics(kafka, names) {
  const admin = kafka.admin();
  await admin.connect();
  const there = await admin.listTopics();
  const missing = names.filter((topic) => !there.includes(topic));
  await admin.createTopics({ topics: missing.map((topic) => ({ topic, numPartitions: topic === "messages" ? 5 : 3, replicationFactor: 1 })), waitForLeaders: true });
  await admin.disconnect();
}

// StandIn answers the platform's routes, by cookie only, and serves a page.
export class StandIn {
  members = {}; // conversation → users
  listed = {}; // user → conversations that the list route gives, instead of those that he is a member of
  groups = {}; // group → users
  unread = {}; // user → count by conversation
  asked = []; // {method, path, user, cookie}
  away = false;
  pages = {}; // path → html
  users = new Map(); // digest of a token → user

  // admit lets a token be known as a user's, as the platform's secret would.
  admit(token, user) {
    this.users.set(createHash("sha256").update(token).digest("hex"), user);
    return token;
  }

  async start(port) {
    this.server = createServer((req, res) => this.serve(req, res));
    await new Promise((resolve) => this.server.listen(port, "::", resolve));
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  userOf(cookie = "") {
    for (const part of cookie.split("; ")) {
      const [name, token] = [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)];
      const user = this.users.get(createHash("sha256").update(token).digest("hex"));
      if (user && (name === production || name === development)) return user;
    }
    return null;
  }

  serve(req, res) {
    const url = new URL(req.url, "http://standin");
    if (url.pathname === "/socket.io.js") return createReadStream(join(root, "test/js/node_modules/socket.io-client/dist/socket.io.js")).pipe(res);
    if (this.pages[url.pathname]) return res.setHeader("content-type", "text/html").end(this.pages[url.pathname]);
    const user = this.userOf(req.headers.cookie);
    this.asked.push({ method: req.method, path: req.url, user, cookie: req.headers.cookie });
    const answer = (status, body) => res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (this.away) return answer(503, {});
    if (!user) return answer(401, { error: "Unauthorized" });
    const participants = /^\/api\/messages\/conversations\/([^/]+)\/participants$/.exec(url.pathname);
    const group = /^\/api\/students-interlinked\/groups\/([^/]+)$/.exec(url.pathname);
    if (participants) {
      const members = this.members[decodeURIComponent(participants[1])] ?? [];
      if (!members.includes(user)) return answer(404, { error: "Conversation not found" });
      return answer(200, { participants: members.map((userId) => ({ userId, isHidden: false })), totalCount: members.length });
    }
    if (url.pathname === "/api/messages/conversations") {
      const all = this.listed[user] ?? Object.keys(this.members).filter((id) => this.members[id].includes(user));
      const [page, limit] = [Number(url.searchParams.get("page")), Number(url.searchParams.get("limit"))];
      return answer(200, {
        conversations: all.slice((page - 1) * limit, page * limit).map((id) => ({ id, participants: [], unreadCount: 0, lastMessage: null })),
        pagination: { page, limit, totalCount: all.length, hasMore: page * limit < all.length, totalPages: Math.ceil(all.length / limit) },
      });
    }
    if (group) return answer(200, { id: group[1], privacy: "PUBLIC", isJoined: (this.groups[group[1]] ?? []).includes(user), userRole: null });
    if (url.pathname === "/api/messages/unread-counts") {
      const counts = this.unread[user] ?? {};
      const conversations = Object.entries(counts).map(([conversationId, unreadCount]) => ({ conversationId, unreadCount, isGroup: false, title: null }));
      return answer(200, { totalUnread: Object.values(counts).reduce((a, b) => a + b, 0), conversations, userId: user });
    }
    if (url.pathname === "/api/notifications/counts") return answer(200, { unread: 0, total: 0 });
    return answer(404, { error: "no such route" });
  }
}

// api asks the router's HTTP API.
export const api = (method, path, body, headers = { authorization: `Bearer ${secrets.key}` }) =>
  fetch(system.router + path, { method, body: body === undefined ? undefined : JSON.stringify(body), headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers } });

// roomsOf are the rooms that a user's sockets are in.
export async function roomsOf(user) {
  const { sessions } = await (await api("GET", `/v1/users/${user}/sessions`)).json();
  return sessions.flatMap((s) => s.rooms);
}
