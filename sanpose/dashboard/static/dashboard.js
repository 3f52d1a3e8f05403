// The page: what is selected, and its parts drawn again when the feed brings something for them.

import { charts, legend, COLOURS } from "./charts.js";
import { open, refresh } from "./detail.js";
import { ask, follow, known, now } from "./feed.js";
import { STATES, TROUBLE, bar, bytes, duration, el, epoch, figure, measured, number, signed } from "./format.js";
import { draw, fillFilter, view } from "./grid.js";

const LOOSE = "";
const AT_ONCE = 20; // rows of the running and of the troubled that are shown
const place = (id) => document.getElementById(id);
let selected; // a sweep's name, LOOSE, or undefined before the first answer
let curvesOf = "";
let more = AT_ONCE;

function select(name) {
  selected = name;
  history.replaceState(null, "", `#${new URLSearchParams({ sweep: name })}`);
  Object.assign(view, { page: 0, state: "", text: "" });
  place("filter-state").value = "";
  place("filter-text").value = "";
  more = AT_ONCE;
  place("tools")?.remove();
  drawAll();
}

function drawAll() {
  if (selected === undefined || (selected !== LOOSE && !known.sweeps.has(selected))) selected = preferred();
  navigation();
  summary();
  grid();
  running();
  curves();
  attention();
}

/** The sweep in the address; else one that runs; else the first; else the runs in no sweep. */
function preferred() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("sweep");
  if (asked !== null && (known.sweeps.has(asked) || asked === LOOSE)) return asked;
  const names = [...known.sweeps.keys()];
  return names.find((name) => known.sweeps.get(name).state === "running") ?? names[0] ?? LOOSE;
}

/** [{id, label, run}] of what is selected. */
function trials() {
  const runs = selected === LOOSE
    ? known.loose.map((id) => ({ id, label: `${known.runs.get(id)?.label ?? "run"} ${id}` }))
    : (known.trials.get(selected) ?? []).map(([label, seed, id]) => ({ id, label: `${label}, seed ${seed}` }));
  return runs.map((trial) => ({ ...trial, run: known.runs.get(trial.id) ?? { state: "waiting" } }));
}

/** Without the trials whose run another one before them stands for as well. */
function distinct(all) {
  const seen = new Set();
  return all.filter(({ id }) => !seen.has(id) && seen.add(id));
}

function counts(runs) {
  const found = {};
  for (const run of runs) found[run.state] = (found[run.state] ?? 0) + 1;
  return found;
}

function navigation() {
  const entries = [...known.sweeps].map(([name, sweep]) => [name, name, sweep.counts]);
  if (known.loose.length || !entries.length) {
    entries.push([LOOSE, "runs in no sweep", counts(known.loose.map((id) => known.runs.get(id)).filter(Boolean))]);
  }
  const focused = document.activeElement?.dataset?.sweep;
  place("sweeps").replaceChildren(...entries.map(([name, label, found]) => {
    const all = Object.values(found).reduce((a, b) => a + b, 0);
    return el("button", { type: "button", "data-sweep": name, "aria-current": name === selected ? "true" : null, onclick: () => select(name) },
      el("span", {}, label), el("span", { class: "small" }, `${found.done ?? 0} of ${all} done`), stack(found, all));
  }));
  if (focused !== undefined) [...place("sweeps").children].find((button) => button.dataset.sweep === focused)?.focus();
}

function stack(found, all) {
  const parts = STATES.toReversed().filter((state) => found[state]).map((state) => {
    const part = el("span", { class: `s-${state}` });
    part.style.width = `${(100 * found[state]) / all}%`;
    return part;
  });
  return el("span", { class: "stack", "aria-hidden": "true" }, ...parts);
}

function summary() {
  const sweep = known.sweeps.get(selected);
  const found = counts(trials().map((trial) => trial.run));
  const said = STATES.filter((state) => found[state]).map((state) => el("li", { class: `s-${state}` }, `${found[state]} ${state}`));
  if (sweep?.to_draw) said.push(el("li", { class: "s-waiting" }, `${sweep.to_draw} to be drawn`));
  const eta = sweep?.ends_at === undefined || sweep.ends_at === null ? "" : `; about ${duration(sweep.ends_at - now())} left, by the times measured so far`;
  const state = sweep ? `${sweep.state} (${sweep.reason})${eta}` : "";
  const before = place("tools") ?? tools();
  place("summary").replaceChildren(
    el("h2", {}, sweep ? sweep.title : "Runs in no sweep"), el("ul", { class: "counts" }, ...said), el("p", {}, state), before,
  );
  showRay(sweep);
}

/* What Ray's dashboard asks for. */
const token = (where) => [" asks for a token: what is in ", el("code", {}, "~/.ray/auth_token"), where];
const ELSEWHERE = () => [...token(" where the sweep runs; for one in a Slurm job, in "), el("code", {}, "runs/jobs/NAME/ray/*/token")];

/* The link to the dashboard of a Ray that stands by itself; of a sweep's private one, the button that starts it. */
function showRay(sweep) {
  const ray = place("ray");
  const address = sweep?.dashboard;
  const ended = ["ended", "stopped"].includes(sweep?.state);
  place("ray-button").hidden = !sweep || ended || Boolean(address);
  const told = `${address} ${ended}`;
  if (ray.dataset.told === told) return;
  ray.dataset.told = told;
  if (ended) ray.replaceChildren("Ray's dashboard: ended with the sweep");
  else if (!address) ray.replaceChildren();
  else ray.replaceChildren(el("a", { href: address, target: "_blank", rel: "noopener" }, `Ray's dashboard: ${address}`), ...ELSEWHERE());
}

function tools() {
  const answer = el("p", { role: "status", class: "quiet" });
  const start = (name) => async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    answer.textContent = `${button.textContent} is starting; this can take half a minute`;
    try {
      const { port } = await ask(`tools/${name}?${new URLSearchParams({ sweep: selected })}`, { method: "POST" });
      const address = `http://127.0.0.1:${port}/`;
      answer.replaceChildren(el("a", { href: address, target: "_blank", rel: "noopener" }, `${button.textContent}: ${address}`),
        ...(name === "ray" ? token("") : []), ` (through an SSH tunnel, forward port ${port} as well)`);
    } catch (error) {
      answer.textContent = error.message;
    }
    button.disabled = false;
  };
  const buttons = [el("button", { type: "button", onclick: start("tensorboard") }, selected === LOOSE ? "TensorBoard of all runs" : "TensorBoard")];
  if (selected !== LOOSE) buttons.unshift(el("button", { type: "button", onclick: start("optuna") }, "Optuna dashboard"));
  buttons.push(el("button", { type: "button", id: "ray-button", onclick: start("ray"), hidden: true }, "Ray dashboard"));
  return el("div", { id: "tools" }, ...buttons, el("span", { id: "ray", class: "quiet", hidden: selected === LOOSE }), answer);
}

function grid() {
  draw(selected === LOOSE ? null : selected, open);
}

function running() {
  const all = distinct(trials()).filter(({ run }) => ["running", "unverified"].includes(run.state));
  if (!all.length) return place("running").replaceChildren(el("p", { class: "quiet" }, "Nothing runs."));
  const head = ["trial", "progress", "loss", "figure", "delta", "images/s", "left"].map((name) => el("th", { scope: "col" }, name));
  const rows = all.slice(0, AT_ONCE).map(({ id, label, run }) => {
    const step = run.step === undefined ? "" : `, step ${run.step} of ${run.steps}`;
    const left = run.ends_at === undefined ? "" : `about ${duration(run.ends_at - now())}`;
    return el("tr", {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", onclick: () => open(id, label) }, label)),
      el("td", { class: "wide" }, bar(run.progress), el("span", { class: "small" }, `${epoch(run)}${step}${run.state === "running" ? "" : ` (${run.reason})`}`)),
      ...[number(run.loss, 4), [figure(run), measured(run)].filter(Boolean).join(", "), signed(run.delta, 4), number(run.images_per_s, 1), left].map((text) => el("td", {}, text)));
  });
  const rest = all.length > AT_ONCE ? el("p", { class: "quiet" }, `and ${all.length - AT_ONCE} more: filter the grid by "running"`) : "";
  return place("running").replaceChildren(el("table", { class: "rows" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)), rest);
}

/** The curves of what runs, else of what changed last; asked for again when one of them has changed. */
async function curves() {
  const all = distinct(trials()).filter(({ run }) => run.changed !== undefined && run.state !== "broken");
  const live = all.filter(({ run }) => run.state === "running");
  const chosen = (live.length ? live : all.toSorted((a, b) => b.run.changed - a.run.changed)).slice(0, COLOURS);
  const wanted = JSON.stringify(chosen.map(({ id, run }) => [id, run.changed]));
  if (wanted === curvesOf) return;
  curvesOf = wanted;
  const told = el("p", { class: "quiet" }, live.length ? "The running trials." : "Nothing runs; the trials that changed last.");
  try {
    const found = chosen.length ? await ask(`api/curves?runs=${chosen.map(({ id }) => id).join(",")}`) : {};
    const lines = chosen.map(({ label }, i) => ({ label, colour: i % COLOURS }));
    if (wanted === curvesOf) place("curves").replaceChildren(told, legend(lines), charts(chosen, found));
  } catch {
    curvesOf = ""; // asked again at the next change; the connection's state says why
  }
}

function attention() {
  const here = distinct(trials());
  const all = TROUBLE.flatMap((state) => here.filter(({ run }) => run.state === state));
  const unread = known.broken.map(([path, reason]) => el("li", {}, el("code", {}, path), el("span", { class: "reason" }, reason)));
  const list = all.slice(0, more).map(({ id, label, run }) => el("li", {},
    el("span", { class: `tag s-${run.state}` }, run.state),
    el("button", { type: "button", class: "link", onclick: () => open(id, label) }, label),
    el("span", { class: "reason" }, run.reason ?? epoch(run)), log(id, run)));
  const rest = all.length - list.length;
  const parts = [el("ul", { class: "attention" }, ...list)];
  if (rest > 0) parts.push(el("button", { type: "button", onclick: () => { more += AT_ONCE; attention(); } }, `${rest} more`));
  if (unread.length) parts.push(el("h3", {}, "Cannot be read"), el("ul", { class: "attention" }, ...unread));
  if (!all.length && !unread.length) parts.push(el("p", { class: "quiet" }, "Nothing."));
  const key = JSON.stringify([selected, more, all.map(({ id, run }) => [id, run.state, run.reason]), known.broken]);
  if (place("attention").dataset.key === key) return; // keeps what is unfolded
  place("attention").dataset.key = key;
  place("attention").replaceChildren(...parts);
}

/** The end of a run's log, fetched when it is unfolded. */
function log(id, run) {
  if (run.state === "broken") return null;
  const text = el("pre", { tabindex: "0" }, "\u2026");
  const fetchLog = async (event) => {
    if (!event.currentTarget.open) return;
    text.textContent = await ask(`api/run/${encodeURIComponent(id)}`).then((told) => told.log.join("\n") || "no log", (error) => error.message);
    text.scrollTop = text.scrollHeight;
  };
  return el("details", { ontoggle: fetchLog }, el("summary", {}, "last lines of its log"), text);
}

function machine() {
  const use = known.machine;
  const share = ([used, all]) => used / all;
  const said = ([used, all]) => `${bytes(used)} of ${bytes(all)}`;
  const meters = [
    ["CPU", use.cpu / 100, `${Math.round(use.cpu)} % of ${use.cpus} cores`],
    ["memory", share(use.memory), said(use.memory)],
    ["disk of the runs", share(use.disk), said(use.disk)],
    ...use.gpus.map(([name, busy, memory]) => [`GPU ${name}`, busy / 100, `${busy} %, ${said(memory)}`]),
  ];
  place("machine").replaceChildren(...meters.map(([name, value, text]) => el("li", {}, el("span", { class: "small" }, name), bar(value), el("span", { class: "small" }, text))));
  place("folder").textContent = `${known.folder} on ${use.host}`;
}

function connection(state, text) {
  const shown = place("connection");
  if (shown.dataset.state !== state || shown.textContent !== text) Object.assign(shown, { textContent: text }).dataset.state = state;
  document.body.classList.toggle("stale", state !== "live");
}

fillFilter(place("filter-state"));
place("filter-state").addEventListener("change", (event) => { Object.assign(view, { state: event.target.value, page: 0 }); grid(); });
place("filter-text").addEventListener("input", (event) => { Object.assign(view, { text: event.target.value, page: 0 }); grid(); });
place("run").addEventListener("click", (event) => { if (event.target === place("run")) place("run").close(); });
if (location.search) history.replaceState(null, "", `./${location.hash}`); // the token is in the cookie by now
follow((kinds) => {
  machine();
  if (kinds.size || selected === undefined) drawAll();
  refresh();
}, connection);
