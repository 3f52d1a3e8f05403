// The grid of a sweep: a row for every point, a column for every seed, in pages of rows.

import { STATES, bar, el, epoch, figure, measured } from "./format.js";
import { store } from "./feed.js";

const ROWS = 50;

export const view = { state: "", text: "", page: 0 };
let layout = "";
let cells = [];

/** Rows of {label, runs: seed -> [run id, ...]} of a sweep, or of the runs in no sweep for null. */
export function rowsOf(sweep) {
  if (sweep === null) return store.loose.map((id) => ({ label: store.runs.get(id)?.label ?? "run", runs: new Map([["", [id]]]) }));
  const rows = new Map();
  for (const [label, seed, id] of store.trials.get(sweep) ?? []) {
    if (!rows.has(label)) rows.set(label, { label, runs: new Map() });
    const runs = rows.get(label).runs;
    const ids = runs.get(seed) ?? [];
    if (id === "" || !ids.includes(id)) runs.set(seed, [...ids, id]); // a search can draw a point twice
  }
  return [...rows.values()];
}

export function draw(sweep, open) {
  const rows = rowsOf(sweep);
  const filtered = rows.filter(matches);
  const pages = Math.max(1, Math.ceil(filtered.length / ROWS));
  view.page = Math.min(view.page, pages - 1);
  const shown = filtered.slice(view.page * ROWS, (view.page + 1) * ROWS);
  const seeds = [...new Set(rows.flatMap((row) => [...row.runs.keys()]))].sort((a, b) => a - b);
  const newLayout = JSON.stringify([sweep, seeds, shown.map((row) => [row.label, [...row.runs]])]);
  if (newLayout !== layout) {
    layout = newLayout;
    build(sweep, seeds, shown, open);
    pager(filtered.length, pages, () => draw(sweep, open));
  }
  for (const [id, button] of cells) paint(button, store.runs.get(id), sweep);
  for (const [row, cell] of means(shown)) cell.textContent = row;
}

function matches(row) {
  const runs = [...row.runs.values()].flat();
  if (view.state && !runs.some((id) => (store.runs.get(id)?.state ?? "waiting") === view.state)) return false;
  const text = view.text.toLowerCase();
  return !text || row.label.toLowerCase().includes(text) || runs.some((id) => id.includes(text));
}

function build(sweep, seeds, rows, open) {
  cells = [];
  const several = seeds.length > 1;
  const head = el("tr", {}, el("th", { scope: "col" }, sweep === null ? "configuration" : "point"));
  for (const seed of seeds) head.append(el("th", { scope: "col" }, sweep === null ? "run" : `seed ${seed}`));
  if (several) head.append(el("th", { scope: "col", title: "over the finished seeds" }, "mean \u00b1 std"));
  const body = el("tbody");
  for (const row of rows) {
    const line = el("tr", {}, el("th", { scope: "row" }, row.label));
    for (const seed of seeds) {
      const cell = el("td");
      for (const id of row.runs.get(seed) ?? []) {
        const button = el("button", { type: "button", "data-run": id, disabled: id === "", onclick: () => open(id, sweep === null ? row.label : `${row.label}, seed ${seed}`) });
        cells.push([id, button]);
        cell.append(button);
      }
      line.append(cell);
    }
    if (several) line.append(el("td", { class: "mean" }));
    body.append(line);
  }
  const grid = document.getElementById("grid");
  if (rows.length) grid.replaceChildren(el("table", { class: "grid" }, el("thead", {}, head), body));
  else grid.replaceChildren(el("p", { class: "quiet" }, "No trials match."));
}

function paint(button, run, sweep) {
  const state = run?.state ?? "waiting";
  const parts = [figure(run ?? {}), state === "done" ? "" : epoch(run ?? {}), run ? measured(run) : ""];
  const text = parts.filter(Boolean).join(", ");
  const key = `${state} ${text} ${run?.progress ?? ""} ${run?.seed}`;
  if (button.dataset.key === key) return;
  button.dataset.key = key;
  button.className = `cell s-${state}`;
  button.replaceChildren(el("span", { class: "state" }, state), el("span", { class: "figure" }, figure(run ?? {}) || "\u2013"));
  if (run && measured(run)) button.append(el("span", { class: "small" }, "part of samples"));
  if (state !== "done") button.append(el("span", { class: "small" }, state === "waiting" ? "" : epoch(run)));
  if (sweep === null && run?.seed !== undefined) button.append(el("span", { class: "small" }, `seed ${run.seed}`));
  if (state === "running" || state === "stopped" || state === "interrupted") button.append(bar(run.progress));
  button.setAttribute("aria-label", `${state}${text ? ", " + text : ""}${run ? ": run " + button.dataset.run : ""}`);
}

/** [text, cell] of each shown row: mean and sample standard deviation of the final MPJPE over its seeds. */
function means(rows) {
  const marked = [...document.querySelectorAll("#grid td.mean")];
  return marked.map((cell, i) => {
    const runs = [...rows[i].runs.values()].flat().map((id) => store.runs.get(id));
    const values = runs.filter((run) => run?.state === "done" && run.mpjpe_mm !== undefined).map((run) => run.mpjpe_mm);
    if (!values.length) return ["", cell];
    const mean = values.reduce((a, b) => a + b) / values.length;
    const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1));
    return [`${mean.toFixed(1)}${values.length > 1 ? ` \u00b1 ${spread.toFixed(1)}` : ""} mm (n=${values.length})`, cell];
  });
}

function pager(count, pages, again) {
  const place = document.getElementById("pager");
  const go = (step) => () => { view.page += step; again(); };
  const first = view.page * ROWS;
  place.replaceChildren(el("span", { class: "quiet" }, count ? `rows ${first + 1}\u2013${Math.min(count, first + ROWS)} of ${count}` : "no rows"));
  if (pages === 1) return;
  place.append(
    el("button", { type: "button", onclick: go(-1), disabled: view.page === 0 }, "previous"),
    el("button", { type: "button", onclick: go(1), disabled: view.page === pages - 1 }, "next"),
  );
}

export function fillFilter(select) {
  select.replaceChildren(el("option", { value: "" }, "all"), ...STATES.map((state) => el("option", { value: state }, state)));
}
