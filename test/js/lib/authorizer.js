// The platform's answer to "may this user enter this room?", as INTERLINK_AUTHORIZE_URL asks it.
import { createServer } from "node:http";

const all = { join: true, type: true, publish: true, presence: true };

// Authorizer admits a user to conversation:open:* and to what its table holds; members of a room may do everything.
export class Authorizer {
  members = new Map(); // room → Set of users
  asked = 0;
  away = false;

  async start() {
    this.server = createServer((req, res) => this.answer(req, res)).listen(0, "127.0.0.1");
    await new Promise((resolve) => this.server.once("listening", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}/authorize`;
  }

  admit(room, ...users) {
    if (!this.members.has(room)) this.members.set(room, new Set());
    users.forEach((user) => this.members.get(room).add(user));
  }

  remove(room, user) {
    this.members.get(room)?.delete(user);
  }

  answer(req, res) {
    let body = "";
    req.on("data", (chunk) => (body += chunk));
    req.on("end", () => {
      this.asked++;
      if (this.away) return res.writeHead(503).end();
      const { user, room, list } = JSON.parse(body);
      if (list) return res.writeHead(404).end();
      const may = room.startsWith("conversation:open-") || this.members.get(room)?.has(user);
      if (!may) return res.writeHead(403).end();
      res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ ...all, ttlSeconds: 60 }));
    });
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
