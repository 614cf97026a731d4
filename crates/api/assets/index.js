// Shows the status, the latest decisions and anomalies, every two seconds. Names from spans reach
// the page as text nodes only.
"use strict";

const milliseconds = (ns) => `${(Number(ns) / 1e6).toFixed(1)} ms`;

function fill(id, rows) {
  const body = document.getElementById(id);
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      for (const text of cells) {
        row.appendChild(document.createElement("td")).textContent = text;
      }
      return row;
    }),
  );
}

async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function refresh() {
  const summary = document.getElementById("summary");
  try {
    const [status, decisions, anomalies] = await Promise.all([
      get("/api/v1/status"),
      get("/api/v1/decisions?limit=10"),
      get("/api/v1/anomalies?limit=10"),
    ]);
    summary.textContent =
      `${status.ready ? "Ready" : "Not ready"}, mode ${status.mode}: ${status.spans.accepted} spans, ` +
      `${status.spans.kept} kept, ${status.call_sites.known} call sites (${status.call_sites.ready} learnt), ` +
      `${status.traces.open} open traces.`;
    fill("decisions", decisions.items.map((d) => [d.time, d.target.service, d.outcome, d.reason, d.summary]));
    fill("anomalies", anomalies.items.map((a) => [
      a.time, `${a.service} ${a.operation}`, milliseconds(a.duration_ns),
      milliseconds(a.baseline.median_ns), `${a.score.kind} ${a.score.value.toFixed(1)}`,
    ]));
  } catch (error) {
    summary.textContent = `No answer: ${error.message}`;
  }
  setTimeout(refresh, 2000);
}

refresh();
