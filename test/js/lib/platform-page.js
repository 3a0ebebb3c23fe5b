// A page that behaves as the platform's mounted hooks do: the token from the cookie, several sockets, no rejoin after a
// reconnect, and listeners that throw on another shape than theirs. page(url) is its HTML.
export const page = (url) => `<!doctype html><meta charset="utf-8"><title>page</title><script src="/socket.io.js"></script><script>
const url = ${JSON.stringify(url)};
const cookie = (name) => document.cookie.split("; ").find((c) => c.startsWith(name + "="))?.slice(name.length + 1);
const token = cookie("__Secure-next-auth.session-token") ?? cookie("next-auth.session-token");
const me = new URLSearchParams(location.search).get("user");
// what the page shows
const state = window.state = { connects: 0, status: "connecting", signIn: false, messages: [], edited: [], deleted: [], reactions: [], typing: [], read: [], notifications: [],
  popups: [], toasts: [], posts: [], groupPosts: [], groupNotices: [], comments: [], likes: [], presence: {}, presenceEvents: [], unread: null, badge: 0, notificationBadge: 0, joinAck: null, sockets: [] };
const need = (value, what) => { if (value === undefined || value === null) throw new TypeError("cannot read " + what); return value; };

// socket-context-clean: one socket, and one more whenever an error speaks of websocket or transport
const options = { auth: { token, userId: me, email: me + "@example.test", name: me }, query: { userId: me } };
const socket = io(url, { ...options, withCredentials: true, transports: ["websocket", "polling"], reconnectionAttempts: 10, reconnectionDelay: 2000,
  reconnectionDelayMax: 10000, timeout: 30000, extraHeaders: { "Access-Control-Allow-Origin": location.origin, "Access-Control-Allow-Credentials": "true" } });
state.sockets.push(socket);
const fallback = () => state.sockets.push(io(url, { ...options, query: { userId: me, fallback: "polling" }, transports: ["polling"], forceNew: true }));
socket.on("connect", () => { state.connects++; state.status = "connected"; });
socket.on("disconnect", () => { state.status = "away"; });
socket.on("connect_error", (error) => {
  if (/Authentication/.test(error.message)) state.signIn = true;
  else if (/timeout/.test(error.message)) setTimeout(() => socket.connect(), 5000);
  else if (/websocket|transport/.test(error.message)) setTimeout(fallback, 3000);
});
socket.on("auth_error", () => { state.signIn = true; });
fallback(); // an outage before this page was looked at

// useAdvancedMessaging: one conversation is open
socket.on("message:new", (data) => { const m = need(data.message, "message").id; state.messages.push(need(m, "message.id")); need(data.conversationId, "conversationId"); });
socket.on("message:edited", (data) => state.edited.push(need(data.message, "message").id + ":" + data.message.content));
socket.on("message:deleted", (data) => state.deleted.push(need(data.messageId, "messageId") + "@" + need(data.conversationId, "conversationId")));
socket.on("message:reaction:updated", (data) => need(data.reactions, "reactions").forEach(() => {}));
socket.on("reaction:add", (data) => state.reactions.push(need(data.messageId, "messageId") + need(data.emoji, "emoji")));
socket.on("conversation:typing", (data) => state.typing.push([need(data.conversationId, "conversationId"), need(data.userId, "userId"), data.isTyping ? need(data.userName, "userName") : "", need(data.isTyping, "isTyping")].join()));
socket.on("conversation:messages:read", (data) => state.read.push(need(data.messageIds, "messageIds").map((id) => id + "/" + need(data.userId, "userId")).join()));
let opened = null;
window.openConversation = (id) => {
  if (opened) socket.emit("conversation:leave", { conversationId: opened });
  socket.emit("conversation:join", { conversationId: (opened = id) }, (answer) => { state.joinAck = answer; });
};
window.type = (on) => socket.emit(on ? "conversation:typing:start" : "conversation:typing:stop", { conversationId: opened });
window.edit = (messageId, content) => socket.emit("message:edit", { messageId, content });

// UnreadCountProvider: on every page
socket.on("message:new", (data) => { if (need(data.conversationId, "conversationId") && need(data.senderId, "senderId") !== me) state.badge++; });
socket.on("messages:read", (data) => { state.badge -= need(data.count, "count"); });
socket.on("notification:new", () => { state.notificationBadge++; });
socket.on("unread-counts-update", (data) => { state.unread = { ...need(data.counts, "counts"), user: need(data.userId, "userId") }; Object.keys(data.counts.conversationUnreadCounts); });

// useNotifications, the group page, the feed
socket.on("notification:new", (data) => { const n = need(data.notification, "notification"); state.popups.push(need(n.title, "title")); need(n.message, "message"); });
socket.on("notification:new", (data) => { if (data.type === "GROUP_POST") state.groupNotices.push(need(data.groupId, "groupId") + need(data.title, "title") + need(data.message, "message")); });
socket.on("notification:all_read", () => { state.notificationBadge = 0; });
socket.on("group:post_created", (data) => { if (data.authorId !== me) state.groupPosts.push(need(data.authorName, "authorName") + ": " + need(data.contentPreview, "contentPreview")); });
socket.on("students-interlinked:new-post", (post) => state.posts.push(need(post.id, "id") + need(post.author, "author").name + need(post.authorId, "authorId")));
socket.on("students-interlinked:new-like", (data) => state.toasts.push(need(data.postId, "postId") + need(data.type, "type")));
socket.on("comment:created", (data) => state.comments.push(need(data.postId, "postId") + need(data.comment, "comment").id));
socket.on("like:updated", (data) => state.likes.push([need(data.contentType, "contentType"), need(data.contentId, "contentId"), need(data.totalLikes, "totalLikes"), need(data.action, "action")].join()));

// useOnlineStatus, PresenceIndicator
const seen = (id, isOnline) => { state.presence[id] = isOnline; };
socket.on("user:online", (data) => { state.presenceEvents.push("online " + need(data.userId, "userId") + " " + data.activity); seen(data.userId, need(data.isOnline, "isOnline")); });
socket.on("user:offline", (data) => { state.presenceEvents.push("offline " + need(data.userId, "userId")); seen(data.userId, false); });
socket.on("presence:status", (data) => seen(need(data.userId, "userId"), need(data.isActive, "isActive")));
socket.on("presence:update", (data) => need(data.users, "users").forEach((u) => seen(u.userId, u.isOnline)));
socket.on("presence:multiple-update", (data) => Object.entries(need(data.users, "users")).forEach(([id, u]) => seen(id, need(u.isOnline, "isOnline"))));

// emitted before the connection is there (the client keeps it), and in the effects that run on connect
socket.emit("presence:get", { userId: me === "u1" ? "u2" : "u1" });
socket.once("connect", () => {
  const others = me === "u1" ? ["u2"] : ["u1"];
  socket.emit("request-unread-counts", { userId: me });
  socket.emit("join:notifications", { userId: me });
  socket.emit("join-students-interlinked", { userId: me });
  socket.emit("join-user-room", { userId: me });
  socket.emit("presence:join", { userId: me, userIds: others });
  socket.emit("presence:heartbeat", { userId: me, activity: "active", timestamp: new Date().toISOString() });
  socket.emit("join_room", "post:p1:comments");
  socket.emit("join:content", "post:p1");
  socket.emit("group:join", { groupId: "g1" });
  openConversation("c2");
  openConversation("c1");
});
setInterval(() => { socket.emit("presence:heartbeat", { userId: me, activity: "active", timestamp: new Date().toISOString() }); socket.emit("students-interlinked:heartbeat", { userId: me }); }, 30000);
</script>`;
