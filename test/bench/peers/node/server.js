// The system that Interlink replaces, built as its own documentation says: socket.io with the redis-streams adapter, fed
// by a kafkajs consumer. It verifies the same tokens, joins the same rooms and answers the same acks.
//
//   HOST, PORT            where it listens                 JWT_SECRET, NEXTAUTH_SECRET   tokens
//   REDIS_URL             the adapter's; none: one server  KAFKA_BROKERS, TOPIC          none: nothing is consumed
//   PING_INTERVAL         milliseconds, 25000              PING_TIMEOUT                  milliseconds, 20000
//   RECOVERY              milliseconds of connection state recovery; none: off
// GET /health says when it is ready. POST /v1/emit appends a record to Kafka, or emits it where there is none.
// CONTROL_PORT: a plain TCP port where each line is a record to emit at once, for `make bench`.
import { hkdfSync } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createPlainServer } from "node:net";
import { createInterface } from "node:readline";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { jwtDecrypt, jwtVerify } from "jose";
import { Kafka, Partitioners, logLevel } from "kafkajs";
import { createClient } from "redis";
import { Server } from "socket.io";

const env = process.env;
const jwtKey = new TextEncoder().encode(env.JWT_SECRET);
const sessionKey = new Uint8Array(hkdfSync("sha256", env.NEXTAUTH_SECRET ?? "", "", "NextAuth.js Generated Encryption Key", 32));
let ready = false;

const http = createServer((req, res) => {
  if (req.url === "/health") return res.writeHead(ready ? 200 : 503).end("{}");
  if (req.url === "/v1/emit" && req.method === "POST") return body(req, (text) => emit(text, res));
  res.writeHead(404).end();
});

const io = new Server(http, {
  pingInterval: Number(env.PING_INTERVAL ?? 25000), pingTimeout: Number(env.PING_TIMEOUT ?? 20000),
  ...(env.RECOVERY ? { connectionStateRecovery: { maxDisconnectionDuration: Number(env.RECOVERY), skipMiddlewares: true } } : {}),
  transports: ["polling", "websocket"], maxHttpBufferSize: 1e6,
});

io.use(async (socket, next) => {
  try {
    const token = socket.handshake.auth.token ?? "";
    const { payload } = token.split(".").length === 5
      ? await jwtDecrypt(token, sessionKey, { clockTolerance: 15 })
      : await jwtVerify(token, jwtKey, { algorithms: ["HS256"], clockTolerance: 15 });
    socket.data.user = payload.sub;
    socket.data.rooms = payload.interlink?.rooms ?? {};
    next();
  } catch {
    next(new Error("Authentication failed"));
  }
});

io.on("connection", (socket) => {
  if (!socket.recovered) socket.join(`user:${socket.data.user}`);
  socket.on("room:join", (rooms, ack) => {
    const list = Array.isArray(rooms) ? rooms : [rooms];
    const allowed = list.every((room) => socket.data.rooms[room]?.includes("join"));
    if (allowed) socket.join(list);
    if (typeof ack === "function") ack(allowed ? { ok: true } : { ok: false, error: { code: "forbidden" } });
  });
  socket.emit("session:ready", { userId: socket.data.user, recovered: socket.recovered, reason: socket.recovered ? "resumed" : "new" });
});

function body(req, then) {
  let text = "";
  req.on("data", (chunk) => (text += chunk));
  req.on("end", () => then(text));
}

let producer;

async function emit(text, res) {
  const record = JSON.parse(text);
  if (!producer) return deliver(record), res.writeHead(202).end("{}");
  await producer.send({ topic: env.TOPIC, acks: -1, messages: [{ key: record.to.rooms[0], value: text }] });
  res.writeHead(202).end("{}");
}

function deliver({ id, event, to, data, time }) {
  const rooms = [...(to.rooms ?? []), ...(to.users ?? []).map((user) => `user:${user}`)];
  io.to(rooms).emit(event, data, { id, time: time ?? Date.now() });
}

async function start() {
  if (env.REDIS_URL) {
    const redis = createClient({ url: env.REDIS_URL });
    redis.on("error", (error) => console.error(error.message));
    await redis.connect();
    io.adapter(createAdapter(redis));
  }
  if (env.KAFKA_BROKERS) {
    const kafka = new Kafka({ clientId: "peer", brokers: env.KAFKA_BROKERS.split(","), logLevel: logLevel.ERROR });
    producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const consumer = kafka.consumer({ groupId: "peer", sessionTimeout: 6000, heartbeatInterval: 500, maxWaitTimeInMs: 250 });
    await consumer.connect();
    await consumer.subscribe({ topic: env.TOPIC, fromBeginning: false });
    const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
    await consumer.run({ eachMessage: async ({ message }) => deliver(JSON.parse(message.value.toString())) });
    await joined;
  }
  if (env.CONTROL_PORT) {
    createPlainServer((conn) => {
      conn.setNoDelay(true);
      createInterface({ input: conn }).on("line", (line) => deliver(JSON.parse(line)));
    }).listen(Number(env.CONTROL_PORT), env.HOST ?? "127.0.0.1");
  }
  http.listen(Number(env.PORT), env.HOST ?? "127.0.0.1", 4096, () => (ready = true));
}
start();
