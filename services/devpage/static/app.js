// The page itself: two panes, the form, and the same as code.
import { Pane, post } from "./pane.js";

const panes = [];
const everybody = () => panes.filter((p) => p.user).map((p) => p.user);
// Whoever signs in is watched by both panes.
const changed = () => panes.forEach((p) => p.watch(everybody()));

for (const [i, user] of ["ada", "grace"].entries()) {
  panes.push(new Pane(i + 1, user, document.getElementById("panes"), changed));
}

const form = document.getElementById("send");
const result = document.getElementById("send-result");
const snippet = document.getElementById("snippet");
const tabs = [...document.querySelectorAll("[data-snippet]")];
let info = { apiKey: "…", brokers: [], topic: "interlink.events" };
let shown = "curl";

// The record that the form describes; throws on data that is not JSON.
function record() {
  const text = form.elements.data.value.trim();
  return {
    event: form.elements.event.value.trim(),
    to: { rooms: [form.elements.room.value.trim()] },
    data: text === "" ? null : JSON.parse(text),
  };
}

function tell(ok, text) {
  result.dataset.ok = ok;
  result.textContent = text;
}

form.addEventListener("submit", async (e) => {
  e.preventDefault();
  let body;
  try {
    body = record();
  } catch (err) {
    tell(false, `The data is not JSON: ${err.message}`);
    return;
  }
  try {
    const answer = await post("/dev/emit", body);
    tell(true, `Published as partition ${answer.partition}, offset ${answer.offset}`);
  } catch (err) {
    tell(false, err.message);
  }
});

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

const code = {
  curl: (r) => `curl -sS ${location.origin}/v1/emit \\
  -H 'Authorization: Bearer ${info.apiKey}' \\
  -H 'Content-Type: application/json' \\
  -d ${quoted(JSON.stringify(r))}`,

  fetch: (r) => `// app/api/messages/route.ts
await fetch("${location.origin}/v1/emit", {
  method: "POST",
  headers: {
    Authorization: \`Bearer \${process.env.INTERNAL_API_KEY}\`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify(${JSON.stringify(r, null, 2).replaceAll("\n", "\n  ")}),
});`,

  kafkajs: (r) => `// npm install kafkajs
import { Kafka, Partitioners } from "kafkajs";

const kafka = new Kafka({ brokers: ${JSON.stringify(info.brokers)} });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
await producer.connect();
await producer.send({
  topic: "${info.topic}",
  messages: [{
    key: "${r.to.rooms[0]}",
    value: JSON.stringify(${JSON.stringify(r)}),
  }],
});`,
};

function show() {
  try {
    snippet.textContent = code[shown](record());
  } catch {
    snippet.textContent = "The data is not JSON yet.";
  }
  for (const tab of tabs) {
    const selected = tab.dataset.snippet === shown;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
  }
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener("click", () => { shown = tab.dataset.snippet; show(); });
  tab.addEventListener("keydown", (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    const next = tabs[(i + step + tabs.length) % tabs.length];
    next.click();
    next.focus();
  });
}
form.addEventListener("input", show);

document.getElementById("copy").addEventListener("click", async (e) => {
  await navigator.clipboard.writeText(snippet.textContent);
  e.target.textContent = "Copied";
  setTimeout(() => { e.target.textContent = "Copy"; }, 1500);
});

show();
info = await (await fetch("/dev/info")).json();
show();
