// A fresh clone, `make run`, two browser windows: what is published as the terminal said appears in both.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Kafka, Partitioners, logLevel } from "kafkajs";
import { chromium } from "playwright-core";
import { artifacts, eventually, freePort, root } from "../lib/process.js";

const shots = join(artifacts, "page");
const run = promisify(execFile);
const state = { printed: "", errors: [] };

before(async () => {
  mkdirSync(shots, { recursive: true });
  state.data = mkdtempSync(join(tmpdir(), "interlink-page-"));
  const [port, admin] = [await freePort(), await freePort()];
  const { PATH, HOME, GOFLAGS = "", GOPROXY = "", GOCACHE = "", GOMODCACHE = "" } = process.env;
  const go = Object.fromEntries(Object.entries({ GOFLAGS, GOPROXY, GOCACHE, GOMODCACHE }).filter(([, v]) => v));
  state.make = spawn("make", ["run"], {
    cwd: root, detached: true, stdio: ["ignore", "pipe", "inherit"],
    env: { PATH, HOME, ...go, SOCKET_IO_PORT: String(port), INTERLINK_ADMIN_ADDR: `127.0.0.1:${admin}`, INTERLINK_DATA_DIR: state.data },
  });
  process.on("exit", () => end("SIGKILL"));
  state.make.stdout.on("data", (chunk) => (state.printed += chunk));
  const ended = new Promise((_, reject) => state.make.once("exit", (code) => reject(new Error(`make run ended with ${code}`))));
  ended.catch(() => {}); // after the tests it may
  const printed = eventually(() => /-d '\{.*\}'/.test(state.printed), 240_000, () => `make run printed ${state.printed}`);
  await Promise.race([printed, ended]);
  state.browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
}, { timeout: 300_000 });

after(async () => {
  await state.browser?.close();
  end("SIGKILL");
  rmSync(state.data, { recursive: true, force: true });
});

function end(signal) {
  try {
    process.kill(-state.make.pid, signal);
  } catch {
    // It has ended.
  }
}

const part = (page, name, pane = 1) => page.getByTestId(`pane-${pane}-${name}`);

async function signIn(user, room) {
  const page = await (await state.browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
  page.on("pageerror", (error) => state.errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && state.errors.push(message.text()));
  await page.goto(/Open\s+(\S+)/.exec(state.printed)[1]);
  await part(page, "user").fill(user);
  await part(page, "signin").click();
  await page.waitForFunction(() => document.querySelector('[data-testid="pane-1-status"]').textContent.startsWith("connected"));
  await part(page, "room").fill(room);
  await part(page, "join").click();
  await part(page, "rooms").locator(`[data-room="${room}"]`).waitFor();
  return page;
}

const shows = (page, text) => part(page, "events").getByText(text).first().waitFor({ timeout: 60_000 });

describe("the developer page", { timeout: 300_000 }, () => {
  const room = "conversation:42"; // the one that the printed command publishes to
  let pages;

  test("two windows sign in and join", async () => {
    pages = [await signIn("ada", room), await signIn("grace", room)];
    assert.match(await part(pages[0], "status").textContent(), /^connected/);
  });

  test("what the printed curl command publishes appears in both", async () => {
    const command = /curl [\s\S]*?-d '\{.*\}'/.exec(state.printed)[0];
    const { stdout } = await run("bash", ["-c", command]);
    assert.ok(JSON.parse(stdout).id, stdout);
    await Promise.all(pages.map((page) => shows(page, /hello/)));
  });

  test("what kafkajs sends to the printed brokers appears in both", async () => {
    const brokers = /KAFKA_BROKERS=(\S+)/.exec(state.printed)[1].split(",");
    const producer = new Kafka({ brokers, logLevel: logLevel.ERROR }).producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const value = JSON.stringify({ event: "message:new", to: { rooms: [room] }, data: { text: "from kafkajs" } });
    await producer.send({ topic: "interlink.events", messages: [{ key: room, value }] });
    await producer.disconnect();
    await Promise.all(pages.map((page) => shows(page, /from kafkajs/)));
    for (const [i, page] of pages.entries()) await page.screenshot({ path: join(shots, `window-${i + 1}.png`), fullPage: true });
  });

  test("typing shows in the other window, and ends with the message", async () => {
    await part(pages[0], "message").pressSequentially("Good morn", { delay: 20 });
    await pages[1].waitForFunction(() => /ada/i.test(document.querySelector('[data-testid="pane-1-typing"]').textContent));
    await pages[1].screenshot({ path: join(shots, "typing.png") });
    await part(pages[0], "message").pressSequentially("ing");
    await part(pages[0], "message").press("Enter");
    await Promise.all(pages.map((page) => shows(page, /Good morning/)));
    await pages[1].waitForFunction(() => document.querySelector('[data-testid="pane-1-typing"]').textContent === "");
  });

  test("two panes of one window, and the form, publish and hear", async () => {
    const [page] = pages;
    await part(page, "user", 2).fill("linus");
    await part(page, "signin", 2).click();
    await part(page, "room", 2).fill(room);
    await page.waitForFunction(() => !document.querySelector('[data-testid="pane-2-join"]').disabled);
    await part(page, "join", 2).click();
    await part(page, "rooms", 2).locator(`[data-room="${room}"]`).waitFor();
    await page.getByTestId("send-room").fill(room);
    await page.getByTestId("send-data").fill('{"text":"from the form"}');
    await page.getByTestId("send-submit").click();
    await part(page, "events", 2).getByText(/from the form/).first().waitFor();
    await shows(pages[1], /from the form/);
    await page.waitForFunction(() => document.querySelector('[data-testid="send-result"]').textContent.includes("Published"));
    await page.screenshot({ path: join(shots, "panes.png"), fullPage: true });
  });

  test("a cut connection comes back by itself, and hears again", async () => {
    const [page] = pages;
    await part(page, "cut").click();
    await page.waitForFunction(() => document.querySelector('[data-testid="pane-1-status"]').textContent.startsWith("connected"));
    await part(page, "rooms").locator(`[data-room="${room}"]`).waitFor();
    await eventually(async () => {
      await run("bash", ["-c", /curl [\s\S]*?-d '\{.*\}'/.exec(state.printed)[0].replace("hello", "back again")]);
      return part(page, "events").getByText(/back again/).count();
    }, 60_000);
  });

  test("nothing was complained about in the console", () => {
    assert.deepEqual(state.errors.filter((text) => !/Failed to load resource|WebSocket/.test(text)), []);
  });

  test("Ctrl-C ends it within 20 s", async () => {
    const ended = new Promise((resolve) => state.make.once("exit", resolve));
    end("SIGINT");
    await Promise.race([ended, new Promise((_, reject) => setTimeout(() => reject(new Error("it runs on")), 20_000).unref())]);
  });
});
