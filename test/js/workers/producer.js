// Next.js, as far as Kafka is concerned: an idempotent kafkajs producer at a steady rate. One line of JSON on stdin:
//   {brokers, topic, rate, rooms: [...], users: [...], prefix, retryFor?, rival?, ssl?: {ca}, sasl?}
// rival: each record is a command for Centrifugo's consumer as well, and for one room.
// It begins at once and ends at the line "stop": then it prints "sent N" when the brokers have all of them.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Kafka, Partitioners, logLevel } from "kafkajs";

const text = "x".repeat(160);
let stopped = false;

const pick = (list) => list[Math.floor(Math.random() * list.length)];

// record makes the nth: mostly for one room, sometimes for two, sometimes for a room and a user.
function record({ rooms, users, prefix, rival }, n) {
  const to = { rooms: [pick(rooms)] };
  if (rival) {
    const [channel, id, data] = [to.rooms[0], `${prefix}-${n}`, { n, t: Date.now(), text }];
    const command = { method: "publish", payload: { channel, data: { id, ...data }, idempotency_key: id } };
    return { key: channel, value: JSON.stringify({ id, event: "message:new", to, data, ...command }) };
  }
  if (n % 10 === 0) to.rooms.push(pick(rooms));
  if (n % 20 === 1 && users?.length) to.users = [pick(users)];
  return { key: to.rooms[0], value: JSON.stringify({ id: `${prefix}-${n}`, event: "message:new", to, data: { n, t: Date.now(), text } }) };
}

function open(plan) {
  const kafka = new Kafka({
    clientId: "nextjs", brokers: plan.brokers, logLevel: logLevel.ERROR,
    ssl: plan.ca ? { ca: [readFileSync(plan.ca, "utf8")] } : undefined, sasl: plan.sasl,
    retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 12 },
  });
  return kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner });
}

// send keeps at it until the brokers have the messages. A producer that lost its sequence with a broker is of no use any
// more: a new one sends the same ids again, unless that would be later than an id counts.
async function send(plan, state, messages) {
  for (const since = Date.now(); !plan.retryFor || Date.now() - since < plan.retryFor; ) {
    try {
      if (!state.producer) {
        state.producer = open(plan);
        await state.producer.connect();
      }
      return await state.producer.send({ topic: plan.topic, acks: -1, messages });
    } catch (error) {
      console.error(error.message);
      await state.producer?.disconnect().catch(() => {});
      state.producer = undefined;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  console.error(`${messages.length} records given up`);
}

async function run(plan) {
  const state = {};
  const begun = Date.now();
  let n = 0;
  while (!stopped) {
    const due = Math.floor(((Date.now() - begun) / 1000) * plan.rate) - n;
    if (due > 0) await send(plan, state, Array.from({ length: due }, () => record(plan, n++)));
    else await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await state.producer?.disconnect();
  process.stdout.write(`sent ${n}\n`, () => process.exit(0));
}

let begun = false;
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (begun || line === "stop") return (stopped = true);
  begun = true;
  run(JSON.parse(line)).catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
});
lines.on("close", () => (stopped = true));
