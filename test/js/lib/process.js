// Starts programs on free ports, waits until they are ready, and ends them with the tests.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
export const artifacts = join(root, "test", "artifacts");
export const bin = process.env.TEST_BIN ?? join(root, "bin");

const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

// freePort takes a port below those that the kernel gives to outgoing connections.
export async function freePort() {
  for (let i = 0; i < 200; i++) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    const free = await new Promise((resolve) => {
      const server = createServer().once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error("no free port");
}

// Program is one life after another of one program, with its output in test/artifacts/js/.
export class Program {
  constructor(name, path, args, env) {
    Object.assign(this, { name, path, args, env });
    mkdirSync(join(artifacts, "js"), { recursive: true });
    this.log = join(artifacts, "js", `${name}.log`);
  }

  start() {
    const out = openSync(this.log, "a");
    this.child = spawn(this.path, this.args, {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...this.env },
      stdio: ["ignore", out, out],
    });
    closeSync(out);
    children.add(this.child);
    this.ended = new Promise((resolve) => {
      this.child.once("error", resolve);
      this.child.once("exit", (code, signal) => {
        children.delete(this.child);
        resolve(code ?? signal);
      });
    });
  }

  // ready polls probe until it is true; a program that ends meanwhile is an error.
  async ready(probe, within = 60_000) {
    let over = null;
    this.ended.then((code) => (over = code ?? "error"));
    await eventually(async () => {
      if (over !== null) throw new Fatal(`${this.name} ended (${over}): ${this.tail()}`);
      return probe();
    }, within, () => `${this.name} is not ready: ${this.tail()}`);
  }

  tail() {
    return readFileSync(this.log, "utf8").slice(-2000);
  }

  // stop ends it: SIGTERM, and SIGKILL when it takes longer than 20 s.
  async stop(signal = "SIGTERM") {
    const late = setTimeout(() => this.child.kill("SIGKILL"), 20_000);
    this.child.kill(signal);
    await this.ended;
    clearTimeout(late);
  }
}

class Fatal extends Error {}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// eventually polls until condition is true. Conditions that throw are asked again, until the time is over.
export async function eventually(condition, within = 30_000, what = () => "it did not come true") {
  const end = Date.now() + within;
  let last;
  for (;;) {
    try {
      const got = await condition();
      if (got) return got;
      last = undefined;
    } catch (error) {
      if (error instanceof Fatal) throw error;
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what()} within ${within} ms${last ? `: ${last.message}` : ""}`);
    await sleep(50);
  }
}
