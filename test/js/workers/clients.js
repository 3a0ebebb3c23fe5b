// Official clients that report what they see. One line of JSON on stdin says what to do:
//   {clients: [{url, token, transports, rooms, auth?}], backoff?, openTimeout?}   milliseconds
// One line a thing on stdout, fields separated by spaces, times in epoch milliseconds:
//   c CLIENT TIME RECOVERED        connected (RECOVERED 0 or 1)
//   r CLIENT TIME REASON RECOVERED session:ready
//   a CLIENT TIME ROOM             asks to join
//   j CLIENT TIME ROOM             in a room, by its ack (the own room: by session:ready)
//   x CLIENT TIME ROOM CODE        a join was refused; asked again after a second
//   e CLIENT TIME ID               an event was handled
//   v CLIENT TIME ROOM             evicted
//   d CLIENT TIME REASON           disconnected
//   f CLIENT TIME MESSAGE          the connect was refused or failed
// The line "stop" on stdin, or its end, closes everything.
import { createInterface } from "node:readline";
import { open } from "../lib/clients.js";

let out = [];
const flush = () => {
  if (out.length) process.stdout.write(out.join(""));
  out = [];
};
const say = (...fields) => out.push(fields.join(" ") + "\n");
setInterval(flush, 20);

const sockets = [];

function run(i, { url, token, transports, rooms, auth }, more) {
  const socket = open(url, { token, transports, auth, ...more });
  const inside = new Set();
  sockets.push(socket);
  const join = (room, connection) => {
    if (!socket.connected || connection !== socket.io.engine.id) return;
    say("a", i, Date.now(), room);
    socket.emit("room:join", room, (answer) => {
      if (answer.ok) {
        inside.add(room);
        return say("j", i, Date.now(), room);
      }
      say("x", i, Date.now(), room, answer.error.code);
      setTimeout(join, 1000, room, connection);
    });
  };
  socket.on("connect", () => {
    say("c", i, Date.now(), socket.recovered ? 1 : 0);
    if (!socket.recovered) inside.clear();
    rooms.filter((room) => !inside.has(room)).forEach((room) => join(room, socket.io.engine.id));
  });
  socket.on("session:ready", (data) => {
    say("r", i, Date.now(), data.reason, data.recovered ? 1 : 0);
    say("j", i, Date.now(), `user:${data.userId}`);
  });
  socket.on("message:new", (data, meta) => say("e", i, Date.now(), meta.id));
  socket.on("room:evicted", (data) => {
    inside.delete(data.room);
    say("v", i, Date.now(), data.room);
  });
  socket.on("disconnect", (reason) => say("d", i, Date.now(), reason.replaceAll(" ", "-")));
  socket.on("connect_error", (error) => say("f", i, Date.now(), error.message.replaceAll(" ", "-")));
}

let begun = false;
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (begun || line === "stop") return stop();
  begun = true;
  const plan = JSON.parse(line);
  const more = {
    ...(plan.backoff ? { reconnectionDelay: plan.backoff, reconnectionDelayMax: 5 * plan.backoff } : {}),
    ...(plan.openTimeout ? { timeout: plan.openTimeout } : {}),
  };
  plan.clients.forEach((client, i) => run(i, client, more));
});
lines.on("close", stop);

function stop() {
  sockets.forEach((socket) => socket.close());
  flush();
  process.stdout.end(() => process.exit(0));
}
