// What the suites run against: the one binary, with test keys, or the bare protocol server.
import { join } from "node:path";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Authorizer } from "./authorizer.js";
import { Program, bin, freePort, root } from "./process.js";
import { secrets } from "./tokens.js";

export const origin = "https://app.example.org";
const ok = async (url) => (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;

// Protocol is `protocol-server`, or socket.io itself with TARGET=reference.
export class Protocol {
  async start(name = "protocol") {
    const addr = `127.0.0.1:${await freePort()}`;
    this.url = `http://${addr}`;
    const reference = process.env.TARGET === "reference";
    this.program = reference
      ? new Program(`${name}-reference`, process.execPath, [join(root, "test/js/lib/protocol-reference.js"), addr], {})
      : new Program(`${name}-server`, join(bin, "protocol-server"), [
          "--addr", addr, "--ping-interval", "300ms", "--ping-timeout", "5s", "--max-payload", "1000000", "--connect-timeout", "5s",
        ], {});
    this.program.start();
    await this.program.ready(() => ok(`${this.url}/socket.io/?EIO=4&transport=polling`));
  }

  stop() {
    return this.program.stop();
  }
}

// Interlink is `interlink serve` with a broker and a store of its own and an authorizer that the test decides.
export class Interlink {
  authorizer = new Authorizer();

  async start(name, env = {}) {
    await this.authorizer.start();
    const [port, admin] = [await freePort(), await freePort()];
    this.url = `http://127.0.0.1:${port}`;
    this.admin = `http://127.0.0.1:${admin}`;
    this.data = mkdtempSync(join(tmpdir(), "interlink-js-"));
    this.program = new Program(name, join(bin, "interlink"), ["serve"], {
      SOCKET_IO_HOST: "127.0.0.1", SOCKET_IO_PORT: String(port), SOCKET_IO_CORS_ORIGIN: origin,
      INTERLINK_ADMIN_ADDR: `127.0.0.1:${admin}`, INTERLINK_DATA_DIR: this.data, INTERLINK_AUTHORIZE_URL: this.authorizer.url,
      NEXTAUTH_SECRET: secrets.nextauth, JWT_SECRET: secrets.jwt, INTERNAL_API_KEY: secrets.key, NEXTAUTH_URL: origin,
      INTERLINK_NEXTAUTH_VERSION: "4", INTERLINK_NEXTAUTH_COOKIE: "next-auth.session-token", LOG_LEVEL: "info", ...env,
    });
    this.program.start();
    await this.ready();
  }

  ready() {
    return this.program.ready(async () => (await ok(`${this.admin}/readyz`)) && ok(`${this.url}/health`), 90_000);
  }

  async restart(signal) {
    await this.program.stop(signal);
    this.program.start();
    await this.ready();
  }

  async stop() {
    await this.program.stop();
    this.authorizer.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  // call asks the HTTP API. key null sends none.
  call(method, path, body, { key = secrets.key, headers = {} } = {}) {
    return fetch(this.url + path, {
      method, body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...(key ? { authorization: `Bearer ${key}` } : {}), ...headers },
    });
  }

  // publish posts a record and returns the answer; anything but 202 is an error.
  async publish(record) {
    const res = await this.call("POST", "/v1/emit", record);
    const text = await res.text();
    if (res.status !== 202) throw new Error(`emit: ${res.status} ${text}`);
    return JSON.parse(text);
  }

  // metric sums a metric's samples that carry all of the labels.
  async metric(name, labels = {}) {
    const text = await (await fetch(`${this.admin}/metrics`)).text();
    let sum = 0;
    for (const line of text.split("\n")) {
      const match = /^([a-zA-Z_:]+)(\{.*\})? ([^ ]+)$/.exec(line);
      if (!match || match[1] !== name) continue;
      if (Object.entries(labels).every(([k, v]) => match[2]?.includes(`${k}="${v}"`))) sum += Number(match[3]);
    }
    return sum;
  }
}
