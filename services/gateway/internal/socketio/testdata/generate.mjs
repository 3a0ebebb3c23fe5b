// Writes vectors.json: packets as the reference encodes them (text, then attachments in hexadecimal), and what it makes of texts good and bad.
import { writeFileSync } from "node:fs";
import { Decoder, Encoder, PacketType } from "socket.io-parser";

const bin = (h) => Buffer.from(h, "hex");
const packets = [
  { type: PacketType.CONNECT, nsp: "/" },
  { type: PacketType.CONNECT, nsp: "/", data: { token: "abc" } },
  { type: PacketType.CONNECT, nsp: "/", data: { sid: "CjdVH4TQvovi1VvgAC5Z" } },
  { type: PacketType.CONNECT, nsp: "/", data: { sid: "CjdVH4TQvovi1VvgAC5Z", pid: "p-1_x" } },
  { type: PacketType.CONNECT, nsp: "/admin", data: { pid: "x", offset: "y" } },
  { type: PacketType.CONNECT, nsp: "/admin?token=1234&uid=a%20b" },
  { type: PacketType.DISCONNECT, nsp: "/" },
  { type: PacketType.DISCONNECT, nsp: "/admin" },
  { type: PacketType.CONNECT_ERROR, nsp: "/", data: { message: "Not authorized" } },
  { type: PacketType.CONNECT_ERROR, nsp: "/", data: { message: 'a "quoted"\\\n\u0001\u2028 €', data: { code: "x" } } },
  { type: PacketType.CONNECT_ERROR, nsp: "/admin", data: { message: "Invalid namespace" } },
  { type: PacketType.EVENT, nsp: "/", data: ["hello"] },
  { type: PacketType.EVENT, nsp: "/", data: ["hello", 1] },
  { type: PacketType.EVENT, nsp: "/", data: ["hello", 1, "2", { a: [null, true, false, -1.5e-7] }] },
  { type: PacketType.EVENT, nsp: "/", data: ["€ \"x\" \\ \b\f\n\r\t\u0000\u001f\u007f\u2028", "𝄞"] },
  { type: PacketType.EVENT, nsp: "/", data: [""] },
  { type: PacketType.EVENT, nsp: "/", id: 0, data: ["hello"] },
  { type: PacketType.EVENT, nsp: "/", id: 456, data: ["project:delete", 123] },
  { type: PacketType.EVENT, nsp: "/", id: Number.MAX_SAFE_INTEGER, data: ["hello"] },
  { type: PacketType.EVENT, nsp: "/admin", id: 12, data: ["hello", {}] },
  { type: PacketType.EVENT, nsp: "/", data: ["message:new", { text: "hi" }, { id: "1", time: "t" }, "cursor"] },
  { type: PacketType.ACK, nsp: "/", id: 0, data: [] },
  { type: PacketType.ACK, nsp: "/", id: 13, data: ["bar"] },
  { type: PacketType.ACK, nsp: "/admin", id: 456, data: [{ ok: true }, [1, 2]] },
  { type: PacketType.EVENT, nsp: "/", data: ["hello", bin("010203")] },
  { type: PacketType.EVENT, nsp: "/", id: 15, data: ["hello", bin("01"), bin("")] },
  { type: PacketType.EVENT, nsp: "/admin", id: 456, data: ["project:delete", { a: { b: [bin("0a"), { c: bin("0b") }] } }, 1] },
  { type: PacketType.ACK, nsp: "/", id: 15, data: [bin("010203")] },
  { type: PacketType.ACK, nsp: "/admin", id: 456, data: [[bin("01"), bin("02"), bin("03")], "x"] },
  { type: PacketType.EVENT, nsp: "/", data: ["ten", ...Array.from({ length: 10 }, (_, i) => Buffer.from([i]))] },
];

const deep = (n) => "2" + "[".repeat(1) + '"a",' + "[".repeat(n - 1) + "]".repeat(n);
const texts = [
  "", " ", "0", "1", "2", "3", "4", "5", "6", "7", "9", "a", "-1", "٢",
  "0{}", "0[]", "0null", '0"x"', "01", "0{", "0{}x", "0 {}", "0/admin", "0/admin,", "0/admin,{}", "0/,{}", "0/,", "0/a?b=c,{\"d\":1}", "0/admin{}",
  "1{}", "1[]", "1/admin,", "1/admin", "15",
  '2["a"]', '2["a"] ', '2 ["a"]', '2[ "a" , 1 ]', '2["a",]', '2["a" 1]', '2[,"a"]', "2[]", "2{}", "2null", '2"a"', "2[1]", "2[1,2]", "2[null]", '2[["a"]]', '2["a"',
  '2"a"]', '2["a"]]', '2["a"]x', '2["a",undefined]', '2["a",NaN]', '2["a",01]', '2["a",1.]', '2["a",.5]', '2["a",-]', '2["a",-0]', '2["a",1e5]', '2["a",1E+5]', '2["a",1e]',
  '2["a",+1]', '2["a",0x1]', '2["a",tru]', '2["a",true1]', "2['a']", '2["a\\x"]', '2["a\\u12"]', '2["a\\u12G4"]', '2["\\u0061"]', '2["\\ud800"]', '2["\\ud834\\udd1e"]', '2["a\n"]', '2["a\u0001"]', '2["a\u2028"]',
  '2["a",{"b":1,}]', '2["a",{"b"}]', '2["a",{b:1}]', '2["a",{"b":1 "c":2}]', '2["a",{"b":1,"b":2}]', '2["a",{"__proto__":{"x":1}}]', '2["a",{"":null}]', '2["a",[1,[2,[3]]]]', '2["a",{]}]', '2["a",[}]]',
  '2["connect"]', '2["connect_error"]', '2["disconnect"]', '2["disconnecting"]', '2["newListener"]', '2["removeListener"]', '2["\\u0063onnect"]', '2["Connect"]', '2["error"]',
  '21["a"]', '20["a"]', '201["a"]', '200["a"]', '2-1["a"]', '21.5["a"]', '21e3["a"]', '2 1["a"]', '21 ["a"]', '29007199254740991["a"]', '29007199254740992["a"]', '299999999999999999999["a"]', '2/admin,1["a"]', '2/admin["a"]', '2/admin,', '2/a,b,["a"]',
  "3[]", "31[]", '31["a"]', "31", "31{}", "31null", "3/admin,1[]", "3,[]", "301[]",
  '4{"message":"x"}', '4"x"', "4[]", "41", "4null",
  '5["a"]', '50-["a"]', '51["a"]', '51-["a",{"_placeholder":true,"num":0}]', '5-["a"]', '5x-["a"]', '5-1-["a"]', '51.5-["a"]', '51e0-["a",{"_placeholder":true,"num":0}]', '501-["a",{"_placeholder":true,"num":0}]',
  '5 1-["a",{"_placeholder":true,"num":0}]', '511-["a"]', '599999999999999999999-["a"]', '51-', "51-{}", "51-[]", '51-["connect",{"_placeholder":true,"num":0}]', '51-/admin,7["a",{"_placeholder":true,"num":0}]',
  '61-1[{"_placeholder":true,"num":0}]', "61-1[]", "61-[]", "6", "61", '2["a",{"_placeholder":true,"num":7}]',
  deep(50), deep(100), deep(101),
];

const attached = [
  ['51-["a",{"_placeholder":true,"num":0}]', ["01"]],
  ['52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', ["01", "02"]],
  ['52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', ["01", "02"]],
  ['51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', ["01"]],
  ['51-["a",{"_placeholder":true,"num":1}]', ["01"]],
  ['51-["a",{"_placeholder":true,"num":-1}]', ["01"]],
  ['51-["a",{"_placeholder":true,"num":0.5}]', ["01"]],
  ['51-["a",{"_placeholder":true,"num":"0"}]', ["01"]],
  ['51-["a",{"_placeholder":true,"num":0.0}]', ["01"]],
  ['51-["a",{"_placeholder":true}]', ["01"]],
  ['51-["a",{"_placeholder":true,"num":0,"x":1}]', ["01"]],
  ['51-["a",{"num":0,"_placeholder":true}]', ["01"]],
  ['51-["a",{"\\u005fplaceholder":true,"num":0}]', ["01"]],
  ['51-["a",{"_placeholder":true,"n\\u0075m":9}]', ["01"]],
  ['51-["a",{"_placeholder":true,"num":0,"num":9}]', ["01"]],
  ['51-["a",{"_placeholder":false,"num":9}]', ["01"]],
  ['51-["a",{"_placeholder":1,"num":0}]', ["01"]],
  ['51-["a"]', ["01"]],
  ['52-["a",{"_placeholder":true,"num":0}]', ["01", "02"]],
  ['51-["a",[{"b":{"_placeholder":true,"num":0}}]]', [""]],
  ['61-3[{"_placeholder":true,"num":0}]', ["ff"]],
];

const shown = (p) => ({ type: p.type, nsp: p.nsp, ...(p.id === undefined ? {} : { id: p.id }), ...(p.data === undefined ? {} : { data: p.data }) });

function decode(text, binaries = []) {
  const decoder = new Decoder();
  let packet;
  decoder.on("decoded", (p) => (packet = shown(p)));
  try {
    decoder.add(text);
    for (const b of binaries) decoder.add(bin(b));
  } catch (e) {
    return { error: e.message };
  }
  return packet ? { packet } : { waiting: true };
}

const vectors = {
  parser: "socket.io-parser 4.2.7",
  encoded: packets.map((p) => {
    const [text, ...binaries] = new Encoder().encode(p);
    return { packet: shown({ ...p, data: undefined }), text, binaries: binaries.map((b) => b.toString("hex")) };
  }),
  texts: texts.map((text) => ({ text, ...decode(text) })),
  attached: attached.map(([text, binaries]) => ({ text, binaries, ...decode(text, binaries) })),
};

// One entry a line, so that a change reads well.
const lines = (list) => "[\n" + list.map((v) => JSON.stringify(v)).join(",\n") + "\n]";
const fields = Object.entries(vectors).map(([k, v]) => JSON.stringify(k) + ": " + (Array.isArray(v) ? lines(v) : JSON.stringify(v)));
writeFileSync(new URL("vectors.json", import.meta.url), "{\n" + fields.join(",\n") + "\n}\n");
