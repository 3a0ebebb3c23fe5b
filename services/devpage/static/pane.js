// One pane: a user, a connection made by the stock client, what arrives on it.

const maxEvents = 500;
const typingEnds = 7000; // ms; the server ends it before
const typingPause = 2500; // ms without a key: not typing any more

// post sends JSON and returns the answer; errors carry what the server said.
export async function post(path, body) {
  const resp = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const answer = await resp.json().catch(() => ({}));
  if (!resp.ok) throw new Error(answer.detail || answer.title || `The server answers ${resp.status}`);
  return answer;
}

const named = (user) => user.charAt(0).toUpperCase() + user.slice(1);
const short = (cursor) => `…${cursor.slice(-8)}`;

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

export class Pane {
  // changed is called when somebody signs in or out here.
  constructor(n, user, parent, changed) {
    this.n = n;
    this.changed = changed;
    this.user = "";
    this.socket = null;
    this.rooms = new Set();
    this.people = new Map(); // user -> {online, status}
    this.typers = new Map(); // room and user -> {name, timer}
    this.typing = null; // {room, timer} while the user of this pane types

    const root = document.getElementById("pane").content.firstElementChild.cloneNode(true);
    root.dataset.testid = `pane-${n}`;
    this.parts = {};
    for (const e of root.querySelectorAll("[data-part]")) {
      this.parts[e.dataset.part] = e;
      if (!e.dataset.part.startsWith("form-")) e.dataset.testid = `pane-${n}-${e.dataset.part}`;
    }
    this.title = root.querySelector("h2");
    this.avatar = root.querySelector(".avatar");
    this.title.textContent = `Browser ${n}`;
    root.setAttribute("aria-label", `Browser ${n}`);
    this.parts.user.value = user;
    parent.append(root);
    this.listen();
    this.status("signed out");
  }

  listen() {
    const p = this.parts;
    const on = (part, event, fn) => p[part].addEventListener(event, (e) => { e.preventDefault(); fn(); });
    on("form-signin", "submit", () => this.signIn(p.user.value.trim()));
    on("signout", "click", () => this.signOut());
    on("cut", "click", () => this.socket?.io.engine?.close());
    on("form-join", "submit", () => this.join(p.room.value.trim()));
    on("clear", "click", () => p.events.replaceChildren());
    on("form-message", "submit", () => this.say());
    p.message.addEventListener("input", () => this.keyed());
  }

  status(state, detail) {
    this.parts.status.dataset.state = state;
    this.parts.status.textContent = detail ? `${state} · ${detail}` : state;
  }

  async signIn(user) {
    if (!user || this.socket) return;
    this.status("connecting");
    let token;
    try {
      ({ token } = await post("/dev/token", { user, name: named(user) }));
    } catch (err) {
      this.status("refused", err.message);
      return;
    }
    this.user = user;
    this.title.textContent = named(user);
    this.avatar.textContent = user.charAt(0);
    this.show(true);
    this.connect(token);
    this.changed();
  }

  connect(token) {
    const s = io({ auth: { token }, forceNew: true });
    this.socket = s;
    s.on("connect", () => {
      this.connected();
      s.io.engine.on("upgrade", () => this.connected());
      if (!s.recovered) this.again();
    });
    s.on("disconnect", (reason) => {
      this.status(s.active ? "reconnecting" : "signed out", reason);
      this.parts.join.disabled = this.parts.send.disabled = this.parts.message.disabled = true;
    });
    s.on("connect_error", (err) => this.status(s.active ? "reconnecting" : "refused", err.message));
    s.onAny((name, ...args) => this.event(name, args));
  }

  connected() {
    this.status("connected", this.socket.io.engine.transport.name);
    this.parts.join.disabled = this.parts.send.disabled = this.parts.message.disabled = false;
  }

  // again says once more what a new session does not know.
  again() {
    for (const room of this.rooms) this.join(room);
    const users = [...this.people.keys()];
    this.people.clear();
    this.watch(users);
  }

  signOut() {
    this.stopTyping();
    this.socket?.disconnect();
    this.socket = null;
    this.user = "";
    this.rooms.clear();
    this.people.clear();
    this.title.textContent = `Browser ${this.n}`;
    this.avatar.textContent = "";
    this.parts.rooms.replaceChildren();
    this.parts.people.replaceChildren();
    this.parts.cursor.textContent = "none";
    this.show(false);
    this.status("signed out");
    this.changed();
  }

  show(signedIn) {
    const p = this.parts;
    p.signin.hidden = signedIn;
    p.signout.hidden = p.cut.hidden = !signedIn;
    p.user.disabled = signedIn;
    p.join.disabled = p.send.disabled = p.message.disabled = true;
  }

  join(room) {
    if (!room || !this.socket) return;
    this.socket.emit("room:join", room, (answer) => {
      if (!answer.ok) {
        this.row("room:join", "error", answer.error, { room });
        return;
      }
      this.rooms.add(room);
      this.showRooms();
    });
  }

  leave(room) {
    this.rooms.delete(room);
    this.showRooms();
    this.socket?.emit("room:leave", room);
  }

  showRooms() {
    this.parts.rooms.replaceChildren(...[...this.rooms].map((room) => {
      const li = element("li", "", room);
      li.dataset.room = room;
      const leave = element("button", "", "×");
      leave.type = "button";
      leave.setAttribute("aria-label", `Leave ${room}`);
      leave.addEventListener("click", () => this.leave(room));
      li.append(leave);
      return li;
    }));
  }

  // room that a message goes to: the one in the field if it is joined, else the last that was.
  room() {
    const wanted = this.parts.room.value.trim();
    return this.rooms.has(wanted) ? wanted : [...this.rooms].at(-1);
  }

  async say() {
    const text = this.parts.message.value.trim();
    const room = this.room();
    if (!text) return;
    if (!room) {
      this.row("message:new", "error", "join a room first", {});
      return;
    }
    this.parts.message.value = "";
    this.stopTyping();
    try {
      await post("/dev/emit", { event: "message:new", to: { rooms: [room] }, from: this.user, data: { text, from: this.user } });
    } catch (err) {
      this.row("message:new", "error", err.message, { room });
    }
  }

  keyed() {
    const room = this.room();
    if (!room || !this.socket?.connected) return;
    if (this.typing) clearTimeout(this.typing.timer);
    this.socket.emit("typing:start", { room }, () => {}); // the server says it to others once, however often it is told
    this.typing = { room, timer: setTimeout(() => this.stopTyping(), typingPause) };
  }

  stopTyping() {
    if (!this.typing) return;
    clearTimeout(this.typing.timer);
    this.socket?.emit("typing:stop", { room: this.typing.room }, () => {});
    this.typing = null;
  }

  event(name, args) {
    const [data, meta, cursor] = args;
    if (typeof cursor === "string") this.parts.cursor.textContent = short(cursor);
    switch (name) {
      case "session:cursor":
        return;
      case "typing:start":
      case "typing:stop":
        this.typed(name === "typing:start", data);
        return;
      case "user:online":
      case "user:offline":
        this.seen(data.userId, { online: data.isOnline, status: data.status });
    }
    const kind = name.startsWith("session:") ? "session" : typeof cursor === "string" ? "durable" : "ephemeral";
    this.row(name, kind, data, meta ?? {}, cursor);
  }

  typed(starts, { room, userId, name }) {
    const key = `${room} ${userId}`;
    clearTimeout(this.typers.get(key)?.timer);
    this.typers.delete(key);
    if (starts) {
      const timer = setTimeout(() => { this.typers.delete(key); this.showTyping(); }, typingEnds);
      this.typers.set(key, { name: name || userId, timer });
    }
    this.showTyping();
  }

  showTyping() {
    const names = [...new Set([...this.typers.values()].map((t) => t.name))];
    this.parts.typing.textContent = names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing…` : "";
  }

  row(name, kind, data, meta, cursor) {
    const list = this.parts.events;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const now = new Date();
    const li = element("li");
    li.dataset.event = name;
    li.dataset.class = kind;
    if (meta.id) li.dataset.id = meta.id;
    const time = element("time", "", `${now.toLocaleTimeString("en-GB")}.${String(now.getMilliseconds()).padStart(3, "0")}`);
    time.dateTime = now.toISOString();
    const title = element("span", "name", name);
    if (meta.room) title.append(element("small", "", meta.room));
    const end = element("span", "cursor", typeof cursor === "string" ? short(cursor) : kind);
    if (typeof cursor === "string") end.title = cursor;
    li.append(time, title, end, element("span", "data", data === null || data === undefined ? "" : JSON.stringify(data)));
    list.append(li);
    while (list.children.length > maxEvents) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  // watch subscribes to the presence of users that are new here and forgets those that are not named.
  watch(users) {
    if (!this.socket) return;
    const fresh = users.filter((u) => !this.people.has(u));
    const gone = [...this.people.keys()].filter((u) => !users.includes(u) && !this.people.get(u).online);
    gone.forEach((u) => this.people.delete(u));
    fresh.forEach((u) => this.people.set(u, { online: false, status: "unknown" }));
    if (fresh.length) {
      this.socket.emit("presence:subscribe", { users: fresh }, (answer) => {
        for (const [user, state] of Object.entries(answer.users ?? {})) this.seen(user, state);
      });
    }
    this.showPeople();
  }

  seen(user, state) {
    this.people.set(user, state);
    this.showPeople();
  }

  showPeople() {
    this.parts.people.replaceChildren(...[...this.people].map(([user, { online, status }]) => {
      const li = element("li", "", named(user));
      li.dataset.user = user;
      li.dataset.online = Boolean(online);
      li.append(element("span", "seen", status || (online ? "online" : "offline")));
      return li;
    }));
  }
}
