// Two pages in Chromium that behave as the platform's do today. Started by test/platform.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { connected } from "../lib/clients.js";
import { page as html } from "../lib/platform-page.js";
import { StandIn, api, createTopics, lines, producer, production, roomsOf, serverToken, session, system } from "../lib/platform.js";
import { artifacts, eventually, sleep } from "../lib/process.js";
import { secrets } from "../lib/tokens.js";

const platform = new StandIn();
const thrown = [];
const tabs = {};
let kafka, browser, service;

const recorded = (number) => structuredClone(lines("records")[number - 1].value);
const stateOf = (user) => tabs[user].evaluate(() => JSON.parse(JSON.stringify({ ...window.state, sockets: window.state.sockets.length })));
const shows = (user, field, want, times = 1) =>
  eventually(async () => (await stateOf(user))[field].filter((x) => x === want).length === times, 30_000,
    () => `${user} does not show ${want} ${times} times`).catch(async (error) => {
    throw new Error(`${error.message}; it shows ${JSON.stringify((await stateOf(user))[field])}`);
  });

async function openPage(user) {
  const context = await browser.newContext();
  const token = platform.admit(await session(user, { name: user === "u1" ? "Ana" : "Bo" }), user);
  await context.addCookies([{ name: production, value: token, domain: "localhost", path: "/", secure: true, httpOnly: false, sameSite: "Lax" }]);
  const tab = (tabs[user] = await context.newPage());
  tab.on("pageerror", (error) => thrown.push(`${user}: ${error.message}`));
  await tab.goto(`http://localhost:${system.standIn}/messages?user=${user}`);
  await eventually(async () => (await stateOf(user)).status === "connected", 60_000, () => `${user} is not connected`);
  for (const room of ["post:p1:comments", "post:p1", "group:g1", "conversation:c1", "conversation:c2", "feed:students-interlinked-main"]) {
    await eventually(async () => (await roomsOf(user)).includes(room), 30_000, () => `${user} is not in ${room}`);
  }
}

before(async () => {
  mkdirSync(join(artifacts, "platform-page"), { recursive: true });
  Object.assign(platform.members, { c1: ["u1", "u2"], c2: ["u1", "u2"] });
  platform.groups.g1 = ["u1", "u2"];
  platform.unread.u1 = { c1: 3 };
  platform.pages["/messages"] = html(system.public);
  await platform.start(system.standIn);
  kafka = await producer();
  await createTopics(kafka.kafka, [...new Set(lines("records").map((line) => line.topic))].filter((topic) => !topic.startsWith("any-")));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  for (const user of ["u1", "u2"]) await openPage(user);
  service = await connected(io(system.public, { auth: { source: "api-server", timestamp: Date.now(), internalApiKey: secrets.key }, forceNew: true, reconnectionDelay: 200 }));
}, { timeout: 180_000 });

after(async () => {
  service?.close();
  await browser?.close();
  await kafka?.close();
  platform.stop();
});

// everything once: `n` makes it another one than the last
async function everythingOnce(n) {
  const message = recorded(1);
  Object.assign(message.data, { id: `m-${n}`, conversationId: "c1", senderId: "u2" });
  await kafka.send("messages", message);
  await shows("u1", "messages", `m-${n}`);
  const elsewhere = recorded(1); // a conversation that was opened and left again: the badge counts it
  Object.assign(elsewhere.data, { id: `e-${n}`, conversationId: "c2", senderId: "u2" });
  await kafka.send("messages", elsewhere);
  await shows("u1", "messages", `e-${n}`);
  const edit = recorded(4);
  Object.assign(edit.data, { id: `m-${n}`, conversationId: "c1", content: `edited ${n}`, editedAt: new Date(1767607200000 + n).toISOString() });
  await kafka.send("messages", edit);
  await shows("u1", "edited", `m-${n}:edited ${n}`);
  const gone = recorded(6);
  Object.assign(gone.data, { messageId: `m-${n}`, conversationId: "c1" });
  await kafka.send("messages", gone);
  await shows("u1", "deleted", `m-${n}@c1`);
  const reaction = recorded(8);
  Object.assign(reaction.data, { messageId: `m-${n}`, conversationId: "c1" });
  reaction.data.reaction.id = `rx-${n}`;
  await kafka.send("messages", reaction);
  await shows("u1", "reactions", `m-${n}${reaction.data.reaction.emoji}`);
  const read = recorded(12);
  Object.assign(read.data, { messageIds: [`m-${n}`], conversationId: "c1", userId: "u2" });
  await kafka.send("messages", read);
  await shows("u1", "read", `m-${n}/u2`);
  const notification = recorded(25);
  Object.assign(notification, { id: `n-${n}`, userId: "u1", title: `title ${n}` });
  await kafka.send("notification-created", notification, `n-${n}`);
  await shows("u1", "popups", `title ${n}`);
  const like = recorded(28);
  Object.assign(like, { contentType: "post", contentId: "p1", userId: "u2", totalLikes: n });
  await kafka.send("like-events", like);
  await shows("u1", "likes", `post,p1,${n},like`);
  const liked = recorded(34);
  Object.assign(liked, { postId: `p-${n}`, authorId: "u1", userId: "u2" });
  await kafka.send("students-interlinked.post.liked", liked);
  await shows("u1", "toasts", `p-${n}LIKE`);
  const comment = recorded(36);
  Object.assign(comment, { commentId: `k-${n}`, postId: "p1", postAuthorId: "u1", authorId: "u2" });
  Object.assign(comment.commentData, { id: `k-${n}`, postId: "p1" });
  await kafka.send("students-interlinked.post.commented", comment);
  for (const user of ["u1", "u2"]) await shows(user, "comments", `p1k-${n}`);
  const post = recorded(31);
  Object.assign(post, { postId: `p-${n}`, authorId: "u2" });
  Object.assign(post.postData, { id: `p-${n}` });
  await kafka.send("students-interlinked.post.created", post);
  await shows("u1", "posts", `p-${n}${post.postData.author.name}u2`);
  const group = { target: "group_members", event: "group:new_post", data: { ...lines("http")[2].body.data, postId: `gp-${n}`, authorId: "u2", authorName: "Bo", postContent: `notes ${n}` } };
  const res = await api("POST", "/api/emit", group, { authorization: `Bearer ${serverToken}` });
  assert.equal(res.status, 200, await res.text());
  await shows("u1", "groupPosts", `Bo: notes ${n}`);
  await shows("u1", "groupNotices", `g1New post in your groupBo posted: notes ${n}`);
  service.emit("server:emit", { target: "conversation:c1", event: "message:new", data: { id: `s-${n}`, conversationId: "c1", senderId: "u2", content: "by the emitter" } });
  await shows("u1", "messages", `s-${n}`);
}

async function typing() {
  const before = (await stateOf("u1")).typing.length;
  await tabs.u2.evaluate(() => window.type(true));
  await eventually(async () => (await stateOf("u1")).typing.slice(before).includes("c1,u2,Bo,true"));
  await tabs.u2.evaluate(() => window.type(false));
  await eventually(async () => (await stateOf("u1")).typing.slice(before).includes("c1,u2,,false"));
  assert.deepEqual((await stateOf("u1")).typing.slice(before), ["c1,u2,Bo,true", "c1,u2,,false"]);
  assert.deepEqual((await stateOf("u2")).typing.filter((t) => t.includes(",u2,")), []);
}

describe("the platform's pages", { timeout: 300_000 }, () => {
  test("they are connected, in their rooms, and know their counts", async () => {
    await eventually(async () => (await stateOf("u1")).unread !== null);
    const state = await stateOf("u1");
    assert.deepEqual(state.unread, { user: "u1", messageUnreadCount: 3, notificationUnreadCount: 0, conversationUnreadCounts: { c1: 3 } });
    assert.deepEqual(state.joinAck, { success: true, conversationId: "c1" });
    assert.equal(state.signIn, false);
    assert.equal(state.sockets, 2);
    await eventually(async () => (await stateOf("u1")).presence.u2 === true && (await stateOf("u2")).presence.u1 === true);
  });

  test("message, edit, delete, reaction, read, notification, like, comment, posts: each once", () => everythingOnce(1));
  test("typing, start and end", typing);

  test("the page's gateway is killed, and everything arrives once again", { timeout: 150_000 }, async () => {
    const id = await tabs.u1.evaluate("socket.id");
    const { sessions } = await (await api("GET", "/v1/users/u1/sessions")).json();
    const at = sessions.find((s) => s.socket === id).gateway;
    process.kill(system.gateways[Number(at.split("-")[1])].pid, "SIGKILL");
    const missed = recorded(1);
    Object.assign(missed.data, { id: "missed", conversationId: "c1", senderId: "u2" });
    await kafka.send("messages", missed);
    await shows("u1", "messages", "missed");
    assert.equal((await stateOf("u1")).connects, 2);
    for (const user of ["u1", "u2"]) await eventually(async () => (await stateOf(user)).status === "connected", 60_000);
    await eventually(() => service.connected, 30_000);
    await everythingOnce(2);
    await sleep(1100);
    await typing();
  });

  test("who goes and comes is told to those who watch, once", async () => {
    const before = (await stateOf("u1")).presenceEvents.length;
    await tabs.u2.context().close();
    await eventually(async () => (await stateOf("u1")).presence.u2 === false, 60_000);
    await openPage("u2");
    await eventually(async () => (await stateOf("u1")).presence.u2 === true, 30_000);
    const told = (await stateOf("u1")).presenceEvents.slice(before);
    assert.equal(new Set(told).size, told.length, `told twice: ${told}`);
    // The page's first heartbeat says "active", which is news of its own if it comes after the socket was told to be online.
    assert.deepEqual(told.map((event) => event.split(" ")[0]).filter((event, i, all) => event !== all[i - 1]), ["offline", "online"], `told ${told}`);
  });

  test("nothing was doubled, nobody's listener threw, nobody was told to sign in", async () => {
    await sleep(2000);
    const state = await stateOf("u1");
    for (const field of ["messages", "edited", "deleted", "reactions", "read", "popups", "likes", "toasts", "comments", "posts", "groupPosts", "groupNotices"]) {
      if (field !== "popups") assert.deepEqual(state[field].filter((x, i, all) => all.indexOf(x) !== i), [], field);
    }
    assert.ok(Number.isFinite(state.badge));
    assert.equal(state.signIn, false);
    assert.deepEqual(thrown, []);
    await tabs.u1.screenshot({ path: join(artifacts, "platform-page", "u1.png") });
  });
});
