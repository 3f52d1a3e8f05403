// One run in a dialog: its figures, its curves, the end of its log, its configuration.

import { charts } from "./charts.js";
import { ask, store, now } from "./feed.js";
import { duration, el, epoch, figure, measured, number, signed } from "./format.js";

const LONG = ["reason", "unreadable"];
let shown = null; // {id, label}
let drawnFrom = null;

export async function open(id, label) {
  shown = { id, label };
  drawnFrom = null;
  const dialog = document.getElementById("run");
  dialog.replaceChildren(...frame());
  if (!dialog.open) dialog.showModal();
  await refresh();
}

/** Draw the run in the dialog again if its state has changed. */
export async function refresh() {
  const dialog = document.getElementById("run");
  if (!shown || !dialog.open) return;
  const run = store.runs.get(shown.id), id = shown.id;
  if (run === drawnFrom) return;
  drawnFrom = run;
  const part = (name) => dialog.querySelector(`[data-part=${name}]`);
  part("facts").replaceChildren(...facts(run ?? { state: "waiting" }));
  try {
    const [curves, details] = await Promise.all([ask(`api/curves?runs=${encodeURIComponent(id)}`), ask(`api/run/${encodeURIComponent(id)}`)]);
    if (shown.id !== id) return;
    part("curves").replaceChildren(charts([shown], curves));
    part("log").textContent = details.log.join("\n") || "no log";
    part("log").scrollTop = part("log").scrollHeight;
    part("config").textContent = details.config || "no configuration recorded";
    part("folder").textContent = details.folder;
  } catch (error) {
    part("curves").replaceChildren(el("p", { class: "trouble" }, error.message));
  }
}

function frame() {
  const close = el("button", { type: "button", onclick: () => document.getElementById("run").close() }, "close");
  return [
    el("div", { class: "bar" }, el("h2", { id: "run-title" }, shown.label), el("code", {}, shown.id), close),
    el("dl", { "data-part": "facts", class: "facts" }),
    el("div", { "data-part": "curves" }),
    el("h3", {}, "Last lines of the log of worker 0"),
    el("pre", { "data-part": "log", tabindex: "0" }),
    el("details", {}, el("summary", {}, "Configuration"), el("pre", { "data-part": "config", tabindex: "0" })),
    el("p", { class: "quiet" }, el("code", { "data-part": "folder" })),
  ];
}

function moment(text) {
  return text?.replace("T", " ").replace("+00:00", " UTC");
}

function facts(run) {
  const left = run.ends_at === undefined ? "" : `about ${duration(run.ends_at - now())}`;
  const rows = [
    ["state", run.state], ["reason", run.reason], ["unreadable", run.problem], ["seed", run.seed], ["progress", epoch(run)],
    ["loss", number(run.loss, 4)], ["figure", [figure(run), measured(run)].filter(Boolean).join(", ")],
    ["delta", signed(run.delta, 4)], ["images/s", number(run.images_per_s, 1)], ["left", left],
    ["duration", duration(run.wall_s)], ["data", run.synthetic ? "synthetic" : ""], ["started", moment(run.started)], ["ended", moment(run.ended)],
  ];
  return rows.filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => el("div", { class: LONG.includes(name) ? "long" : null },
    el("dt", {}, name), el("dd", { class: name === "state" ? `s-${run.state}` : null }, String(value))));
}
