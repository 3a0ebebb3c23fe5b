// Writes vectors.json: what the reference parser encodes, and what it makes of inputs good and bad.
// Bytes are hexadecimal; `error` is the reference's own packet of type "error".
import { writeFileSync } from "node:fs";
import { decodePacket, decodePayload, encodePacket, encodePayload } from "engine.io-parser";

const types = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
const texts = ["", "probe", "hello", "€uro", "𝄞 clef", "a\nb", '{"sid":"x"}', "\u0000", "4", "b", "\u2028", "x".repeat(200)];
const binaries = ["", "00", "0102", "010203", "01020304", "fffefdfcfbfa", "1e1e", "00".repeat(100)].map((h) => Buffer.from(h, "hex"));

const hex = (v) => Buffer.from(v).toString("hex");
const shown = (p) =>
  p.type === "error" ? { error: true } : { type: p.type, binary: Buffer.isBuffer(p.data), data: hex(p.data ?? "") };
const encode = (p, binary) => new Promise((done) => encodePacket(p, binary, done));
const encodeAll = (ps) => new Promise((done) => encodePayload(ps, done));

const packets = [];
for (const type of types) {
  for (const data of texts) packets.push({ type, data });
}
for (const data of binaries) packets.push({ type: "message", data });

const encoded = [];
for (const p of packets) {
  const frame = await encode(p, true);
  encoded.push({ packet: shown(p), frame: hex(frame), polled: hex(await encode(p, false)) });
}

const batches = [[0, 1, 2], [5], [50, 51, 52, 53], packets.map((_, i) => i).slice(40), [84, 85], [86, 0, 87, 1]];
const payloads = [];
for (const batch of batches) {
  const chosen = batch.filter((i) => i < packets.length).map((i) => packets[i]);
  payloads.push({ packets: chosen.map(shown), body: hex(await encodeAll(chosen)) });
}

const frames = ["", "0", "6", "7", "9", "a", "bAQID", "44", "4 ", " 4", "-1", "04", "2probe", "3probe", "5", "5x", "\u0000", "٤", "4\u001e4"];
const bodies = [
  "", "\u001e", "4a\u001e", "\u001e4a", "4a\u001e\u001e4b", "4a\u001e7", "b", "bAQID", "bAQI=", "bAQI", "bAQ==", "bAQ", "bAR==", "bA",
  "b====", "bAQ\nID", "bAQ ID", "b-_-_", "b+/+/", "b!!!!", "bAQID=", "bAQI=AQID", "4a\u001ebAQID\u001e4b", "bAQID\u001ebAQID", "BAQID",
  "4\u001e4\u001e4", "2\u001e3\u001e1", "4a\u001e4b\u001e7\u001e4c",
];

const vectors = {
  parser: "engine.io-parser 5.2.3",
  encoded,
  payloads,
  frames: frames.map((f) => ({ input: hex(f), packet: shown(decodePacket(f)) })),
  bodies: bodies.map((b) => ({ input: hex(b), packets: decodePayload(b).map(shown) })),
};

// One entry a line, so that a change reads well.
const lines = (list) => "[\n" + list.map((v) => JSON.stringify(v)).join(",\n") + "\n]";
const fields = Object.entries(vectors).map(([k, v]) => JSON.stringify(k) + ": " + (Array.isArray(v) ? lines(v) : JSON.stringify(v)));
writeFileSync(new URL("vectors.json", import.meta.url), "{\n" + fields.join(",\n") + "\n}\n");
