// The page: the selection, and its parts, which are drawn again when the feed has changes.

import { charts, legend, COLOURS } from "./charts.js";
import { open, refresh } from "./detail.js";
import { ask, follow, store, now } from "./feed.js";
import { STATES, TROUBLE, bar, bytes, duration, el, epoch, figure, measured, number, signed } from "./format.js";
import { draw, fillFilter, view } from "./grid.js";

const LOOSE = "";
const AT_ONCE = 20; // visible rows of the running trials and of the trials in trouble
const place = (id) => document.getElementById(id);
let selected; // a sweep's name, LOOSE, or undefined before the first answer
let curvesOf = "";
let visible = AT_ONCE;

function select(name) {
  selected = name;
  history.replaceState(null, "", `#${new URLSearchParams({ sweep: name })}`);
  Object.assign(view, { page: 0, state: "", text: "" });
  place("filter-state").value = "";
  place("filter-text").value = "";
  visible = AT_ONCE;
  place("tools")?.remove();
  drawAll();
}

function drawAll() {
  if (selected === undefined || (selected !== LOOSE && !store.sweeps.has(selected))) selected = preferred();
  navigation();
  summary();
  grid();
  running();
  curves();
  attention();
}

/** The sweep in the address, else a running sweep, else the first sweep, else the runs in no sweep. */
function preferred() {
  const named = new URLSearchParams(location.hash.slice(1)).get("sweep");
  if (named !== null && (store.sweeps.has(named) || named === LOOSE)) return named;
  const names = [...store.sweeps.keys()];
  return names.find((name) => store.sweeps.get(name).state === "running") ?? names[0] ?? LOOSE;
}

/** [{id, label, run}] of the selection. */
function trials() {
  const runs = selected === LOOSE
    ? store.loose.map((id) => ({ id, label: `${store.runs.get(id)?.label ?? "run"} ${id}` }))
    : (store.trials.get(selected) ?? []).map(([label, seed, id]) => ({ id, label: `${label}, seed ${seed}` }));
  return runs.map((trial) => ({ ...trial, run: store.runs.get(trial.id) ?? { state: "waiting" } }));
}

/** The trials without those that share the run of an earlier trial. */
function distinct(all) {
  const seen = new Set();
  return all.filter(({ id }) => !seen.has(id) && seen.add(id));
}

function counts(runs) {
  const numbers = {};
  for (const run of runs) numbers[run.state] = (numbers[run.state] ?? 0) + 1;
  return numbers;
}

function navigation() {
  const entries = [...store.sweeps].map(([name, sweep]) => [name, name, sweep.counts]);
  if (store.loose.length || !entries.length) {
    entries.push([LOOSE, "runs in no sweep", counts(store.loose.map((id) => store.runs.get(id)).filter(Boolean))]);
  }
  const focused = document.activeElement?.dataset?.sweep;
  place("sweeps").replaceChildren(...entries.map(([name, label, numbers]) => {
    const all = Object.values(numbers).reduce((a, b) => a + b, 0);
    return el("button", { type: "button", "data-sweep": name, "aria-current": name === selected ? "true" : null, onclick: () => select(name) },
      el("span", {}, label), el("span", { class: "small" }, `${numbers.done ?? 0} of ${all} done`), stack(numbers, all));
  }));
  if (focused !== undefined) [...place("sweeps").children].find((button) => button.dataset.sweep === focused)?.focus();
}

function stack(numbers, all) {
  const parts = STATES.toReversed().filter((state) => numbers[state]).map((state) => {
    const part = el("span", { class: `s-${state}` });
    part.style.width = `${(100 * numbers[state]) / all}%`;
    return part;
  });
  return el("span", { class: "stack", "aria-hidden": "true" }, ...parts);
}

function summary() {
  const sweep = store.sweeps.get(selected);
  const numbers = counts(trials().map((trial) => trial.run));
  const items = STATES.filter((state) => numbers[state]).map((state) => el("li", { class: `s-${state}` }, `${numbers[state]} ${state}`));
  if (sweep?.to_draw) items.push(el("li", { class: "s-waiting" }, `${sweep.to_draw} to be drawn`));
  const eta = sweep?.ends_at === undefined || sweep.ends_at === null ? "" : `; about ${duration(sweep.ends_at - now())} left, estimated from the measured times`;
  const state = sweep ? `${sweep.state} (${sweep.reason})${eta}` : "";
  const before = place("tools") ?? tools();
  place("summary").replaceChildren(
    el("h2", {}, sweep ? sweep.title : "Runs in no sweep"), el("ul", { class: "counts" }, ...items), el("p", {}, state), ...claims(sweep?.claims), before,
  );
  showRay(sweep);
}

/* What a sweep with seeds=auto has decided. */
function claims(record) {
  if (!record) return [];
  const head = ["claim", "what it adds", "seeds", "difference", "p (Holm)", "state"].map((name) => el("th", { scope: "col" }, name));
  const rows = record.claims.map((one) => el("tr", { class: `claim-${one.state.replaceAll(" ", "-")}` },
    el("th", { scope: "row" }, one.step), el("td", {}, one.choice), el("td", {}, `${one.seeds}`),
    el("td", {}, one.difference === null ? "" : signed(one.difference, 2)), el("td", {}, one.p_holm === null ? "" : one.p_holm.toFixed(4)),
    el("td", { class: "state" }, one.text)));
  const rules = ` (at most ${record.max_seeds} seeds, ${record.alpha} for all claims together)`;
  return [el("div", { class: "scroll", id: "claims" }, el("p", {}, el("strong", {}, record.summary), rules),
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)))];
}

/* How to log in to Ray's dashboard. */
const token = (where) => [" asks for a token: the content of ", el("code", {}, "~/.ray/auth_token"), where];
const ELSEWHERE = () => [...token(" on the machine of the sweep; for a sweep in a Slurm job, of "), el("code", {}, "runs/jobs/NAME/ray/*/token")];

/* The link to the dashboard of an independent Ray; the button that starts the dashboard of a sweep's private Ray. */
function showRay(sweep) {
  const ray = place("ray");
  const address = sweep?.dashboard;
  const ended = ["ended", "stopped"].includes(sweep?.state);
  place("ray-button").hidden = !sweep || ended || Boolean(address);
  const key = `${address} ${ended}`;
  if (ray.dataset.key === key) return;
  ray.dataset.key = key;
  if (ended) ray.replaceChildren("Ray's dashboard: ended with the sweep");
  else if (!address) ray.replaceChildren();
  else ray.replaceChildren(el("a", { href: address, target: "_blank", rel: "noopener" }, `Ray's dashboard: ${address}`), ...ELSEWHERE());
}

function tools() {
  const answer = el("p", { role: "status", class: "quiet" });
  const start = (name) => async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    answer.textContent = `${button.textContent} is starting, which can take half a minute`;
    try {
      const { port } = await ask(`tools/${name}?${new URLSearchParams({ sweep: selected })}`, { method: "POST" });
      const address = `http://127.0.0.1:${port}/`;
      answer.replaceChildren(el("a", { href: address, target: "_blank", rel: "noopener" }, `${button.textContent}: ${address}`),
        ...(name === "ray" ? token("") : []), ` (for an SSH tunnel, forward port ${port} too)`);
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
  if (!all.length) return place("running").replaceChildren(el("p", { class: "quiet" }, "No trial is running."));
  const head = ["trial", "progress", "loss", "figure", "delta", "images/s", "left"].map((name) => el("th", { scope: "col" }, name));
  const rows = all.slice(0, AT_ONCE).map(({ id, label, run }) => {
    const step = run.step === undefined ? "" : `, step ${run.step} of ${run.steps}`;
    const left = run.ends_at === undefined ? "" : `about ${duration(run.ends_at - now())}`;
    return el("tr", {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", onclick: () => open(id, label) }, label)),
      el("td", { class: "wide" }, bar(run.progress), el("span", { class: "small" }, `${epoch(run)}${step}${run.state === "running" ? "" : ` (${run.reason})`}`)),
      ...[number(run.loss, 4), [figure(run), measured(run)].filter(Boolean).join(", "), signed(run.delta, 4), number(run.images_per_s, 1), left].map((text) => el("td", {}, text)));
  });
  const others = all.length > AT_ONCE ? el("p", { class: "quiet" }, `and ${all.length - AT_ONCE} more: filter the grid by "running"`) : "";
  return place("running").replaceChildren(el("table", { class: "rows" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)), others);
}

/** The curves of the running trials, else of the trials that changed last; requested again when one has changed. */
async function curves() {
  const all = distinct(trials()).filter(({ run }) => run.changed !== undefined && run.state !== "broken");
  const live = all.filter(({ run }) => run.state === "running");
  const chosen = (live.length ? live : all.toSorted((a, b) => b.run.changed - a.run.changed)).slice(0, COLOURS);
  const key = JSON.stringify(chosen.map(({ id, run }) => [id, run.changed]));
  if (key === curvesOf) return;
  curvesOf = key;
  const title = el("p", { class: "quiet" }, live.length ? "The running trials." : "No trial is running; these trials changed last.");
  try {
    const lines = chosen.length ? await ask(`api/curves?runs=${chosen.map(({ id }) => id).join(",")}`) : {};
    const labels = chosen.map(({ label }, i) => ({ label, colour: i % COLOURS }));
    if (key === curvesOf) place("curves").replaceChildren(title, legend(labels), charts(chosen, lines));
  } catch {
    curvesOf = ""; // requested again at the next change; the connection's state shows the error
  }
}

function attention() {
  const here = distinct(trials());
  const all = TROUBLE.flatMap((state) => here.filter(({ run }) => run.state === state));
  const unread = store.broken.map(([path, reason]) => el("li", {}, el("code", {}, path), el("span", { class: "reason" }, reason)));
  const list = all.slice(0, visible).map(({ id, label, run }) => el("li", {},
    el("span", { class: `tag s-${run.state}` }, run.state),
    el("button", { type: "button", class: "link", onclick: () => open(id, label) }, label),
    el("span", { class: "reason" }, run.reason ?? epoch(run)), log(id, run)));
  const others = all.length - list.length;
  const parts = [el("ul", { class: "attention" }, ...list)];
  if (others > 0) parts.push(el("button", { type: "button", onclick: () => { visible += AT_ONCE; attention(); } }, `${others} more`));
  if (unread.length) parts.push(el("h3", {}, "Unreadable records"), el("ul", { class: "attention" }, ...unread));
  if (!all.length && !unread.length) parts.push(el("p", { class: "quiet" }, "None."));
  const key = JSON.stringify([selected, visible, all.map(({ id, run }) => [id, run.state, run.reason]), store.broken]);
  if (place("attention").dataset.key === key) return; // keeps open logs open
  place("attention").dataset.key = key;
  place("attention").replaceChildren(...parts);
}

/** The end of a run's log, fetched when a reader opens it. */
function log(id, run) {
  if (run.state === "broken") return null;
  const text = el("pre", { tabindex: "0" }, "\u2026");
  const fetchLog = async (event) => {
    if (!event.currentTarget.open) return;
    text.textContent = await ask(`api/run/${encodeURIComponent(id)}`).then((detail) => detail.log.join("\n") || "no log", (error) => error.message);
    text.scrollTop = text.scrollHeight;
  };
  return el("details", { ontoggle: fetchLog }, el("summary", {}, "last lines of the log"), text);
}

function machine() {
  const use = store.machine;
  const share = ([used, all]) => used / all;
  const text = ([used, all]) => `${bytes(used)} of ${bytes(all)}`;
  const meters = [
    ["CPU", use.cpu / 100, `${Math.round(use.cpu)} % of ${use.cpus} cores`],
    ["memory", share(use.memory), text(use.memory)],
    ["disk of the runs", share(use.disk), text(use.disk)],
    ...use.gpus.map(([name, busy, memory]) => [`GPU ${name}`, busy / 100, `${busy} %, ${text(memory)}`]),
  ];
  place("machine").replaceChildren(...meters.map(([name, value, label]) => el("li", {}, el("span", { class: "small" }, name), bar(value), el("span", { class: "small" }, label))));
  place("folder").textContent = `${store.folder} on ${use.host}`;
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
if (location.search) history.replaceState(null, "", `./${location.hash}`); // the cookie holds the token now
follow((kinds) => {
  machine();
  if (kinds.size || selected === undefined) drawAll();
  refresh();
}, connection);
