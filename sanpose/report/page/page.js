"use strict";
(() => {
  const LIMIT = 40; // rows of a table that are visible at first
  const COLUMNS = 12; // at most so many runs side by side
  const data = JSON.parse(document.getElementById("data").textContent);

  // Every text is inserted as text, so nothing from a record becomes markup.
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
    return node;
  };
  const draw = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  // Light and dark.
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const isDark = () => (chosen ?? (system.matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
  theme.hidden = false;
  label();
  system.addEventListener("change", label);
  theme.addEventListener("click", () => {
    chosen = isDark() ? "light" : "dark";
    document.documentElement.style.colorScheme = chosen;
    label();
  });

  // Tables: sorting, filtering, and cutting of long tables.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort ?? cell.textContent.trim().toLowerCase();
  };
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  for (const block of document.querySelectorAll("[data-table]")) {
    const body = block.querySelector("tbody");
    const original = [...body.rows];
    const search = block.querySelector("input[type=search]");
    const output = block.querySelector("output");
    const more = block.querySelector(".more");
    let all = false;
    const texts = new Map();
    const textOf = (row) => {
      if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
      return texts.get(row);
    };
    const update = () => {
      const words = (search?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
      let matches = 0;
      for (const row of body.rows) {
        const fits = words.every((word) => textOf(row).includes(word));
        matches += fits;
        row.hidden = !fits || (!all && matches > LIMIT);
      }
      if (output) output.textContent = words.length ? `${matches} of ${original.length} rows` : "";
      more.hidden = all || matches <= LIMIT;
    };
    search?.addEventListener("input", update);
    more.querySelector("button").addEventListener("click", () => { all = true; update(); });
    block.querySelectorAll("thead th").forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
        const direction = next === undefined ? "ascending" : next;
        for (const other of block.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
        let rows = original;
        if (direction) {
          head.setAttribute("aria-sort", direction);
          const sign = direction === "ascending" ? 1 : -1;
          const keyed = original.map((row) => [valueOf(row, column), row]);
          const filled = keyed.filter(([value]) => value !== "").sort(([a], [b]) => sign * compare(a, b));
          rows = [...filled, ...keyed.filter(([value]) => value === "")].map(([, row]) => row);
        }
        body.append(...rows);
        update();
      });
    });
    update();
  }

  // A row opens its runs.
  const dialog = document.getElementById("dialog");
  const content = dialog.querySelector(".body");
  const colour = (index) => `var(--series-${1 + (index % 8)})`;
  // The data of a run omits empty values, and refers to values that runs share by number.
  const runOf = (id) => {
    const run = data.runs[id];
    const curves = Object.entries(run.curves ?? {}).map(([name, [epochs, ...values]]) => [name, values.map((value, i) => [data.epochs[epochs][i], value])]);
    const protocol = Object.entries(run.protocol ?? {}).map(([name, text]) => [name, data.texts[text]]);
    return {
      more: "", started: "–", ended: "–", metrics: {}, ...run, id, curves: Object.fromEntries(curves), protocol,
      config: { ...data.configs[run.config], "train.seed": run.seed ?? null }, origin: data.origins[run.origin], folder: `${data.folder}/${id}`,
    };
  };
  const configOf = (run) => {
    const whole = { ...data.base, ...run.config };
    return Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== null).sort());
  };
  const textOfValue = (value) => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));

  const summary = (runs) => {
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))];
    const titles = { mpjpe_mm: "MPJPE (mm)", pckh: "PCKh@0.5 (%)", ap: "AP (0 to 1)" };
    const head = make("tr", {}, ...["Run", "Seed", "Status", ...names.map((n) => titles[n] ?? n), "Started", "Ended"].map((t, i) => make("th", { scope: "col", class: i > 2 && i < 3 + names.length ? "num" : "" }, t)));
    const rows = runs.map((run, index) => {
      const figures = names.map((name) => make("td", { class: "num" }, run.metrics[name] === undefined ? "–" : run.metrics[name].toFixed(name === "ap" ? 3 : 1)));
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = colour(index);
      return make("tr", {}, make("th", { scope: "row" }, swatch, make("code", {}, run.id)), make("td", {}, textOfValue(run.seed)),
        make("td", {}, make("span", { class: `chip ${run.status}` }, run.status), run.more), ...figures, make("td", {}, run.started), make("td", {}, run.ended));
    });
    return scrolled(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)), "Runs");
  };
  const scrolled = (table, label) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);

  const differences = (own, others) => {
    const ids = [...own, ...others].slice(0, COLUMNS);
    const configs = ids.map((id) => configOf(runOf(id)));
    const keys = [...new Set(configs.flatMap(Object.keys))].sort();
    const differing = keys.filter((key) => new Set(configs.map((config) => textOfValue(config[key]))).size > 1);
    if (ids.length < 2) return make("p", { class: "absent" }, "There is no other run to compare the settings with.");
    if (!differing.length) return make("p", { class: "absent" }, "The settings are the same.");
    const mark = (index) => (index < own.length ? { class: "own" } : {});
    const head = make("tr", {}, make("th", { scope: "col" }, "Setting"), ...ids.map((id, i) => make("th", { scope: "col", ...mark(i) }, make("code", {}, id))));
    const rows = differing.map((key) => make("tr", {}, make("th", { scope: "row" }, make("code", {}, key)), ...configs.map((config, i) => make("td", mark(i), textOfValue(config[key])))));
    return scrolled(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)), "Differences of the settings");
  };

  const chart = (name, lines) => {
    const [width, height, left, bottom] = [300, 150, 42, 16];
    const points = lines.flatMap(([, line]) => line);
    const [x0, x1] = [Math.min(...points.map((p) => p[0])), Math.max(...points.map((p) => p[0]))];
    const [y0, y1] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
    const x = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (width - left - 6);
    const y = (v) => height - bottom - ((v - y0) / (y1 - y0 || 1)) * (height - bottom - 8);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
    for (const value of new Set([y0, y1])) {
      svg.append(draw("line", { x1: left, x2: width, y1: y(value), y2: y(value), stroke: "var(--rule)" }));
      svg.append(draw("text", { x: left - 5, y: y(value) + 3, "text-anchor": "end" }, value.toPrecision(3)));
    }
    for (const [value, anchor] of [[x0, "start"], [x1, "end"]]) svg.append(draw("text", { x: x(value), y: height - 3, "text-anchor": anchor }, `epoch ${value}`));
    for (const [index, line] of lines) {
      svg.append(draw("polyline", { points: line.map((p) => `${x(p[0])},${y(p[1])}`).join(" "), stroke: colour(index) }));
      if (line.length === 1) svg.append(draw("circle", { cx: x(line[0][0]), cy: y(line[0][1]), r: 3, fill: colour(index) }));
    }
    return make("figure", {}, make("figcaption", {}, name), svg);
  };
  const charts = (runs) => {
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))];
    const linesOf = (name) => runs.map((run, index) => [index, run.curves[name]]).filter(([, line]) => line);
    const drawn = make("div", { class: "charts" }, ...names.map((name) => chart(name, linesOf(name))));
    const absent = runs.filter((run) => run.left_out);
    if (absent.length) drawn.append(make("p", { class: "absent" }, `The page holds no curves of ${absent.length < runs.length ? `${absent.length} of ` : ""}these runs: the curves are in metrics.jsonl in each run’s folder.`));
    return names.length || absent.length ? drawn : make("p", { class: "absent" }, "No epoch is recorded yet.");
  };

  const particulars = (run, open) => {
    const lines = [["state", run.status + run.more]];
    if (run.reason) lines.push(["reason", run.reason]);
    if (run.synthetic) lines.push(["data", "synthetic"]);
    for (const [name, text] of run.protocol) lines.push([`protocol, ${name}`, text]);
    lines.push(...run.origin);
    if (run.curves_missing) lines.push(["journal", run.curves_missing]);
    lines.push(["folder", run.folder]);
    const list = make("dl", {}, ...lines.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
    const config = Object.entries(configOf(run)).map(([key, value]) => `${key}: ${textOfValue(value)}`).join("\n");
    const whole = make("details", {}, make("summary", {}, "The whole configuration"), make("pre", {}, config));
    return make("details", open ? { open: "" } : {}, make("summary", {}, "Run ", make("code", {}, run.id), `, ${run.status}${run.more}`), list, whole);
  };

  const show = (row) => {
    const ids = row.dataset.runs.split(" ");
    const runs = ids.map(runOf);
    const rows = [...row.parentElement.rows].filter((other) => other !== row && other.dataset.runs);
    const others = rows.length < COLUMNS ? rows.map((other) => other.dataset.runs.split(" ")[0]).filter((id) => !ids.includes(id)) : [];
    const title = row.closest("section").querySelector("h2").textContent.split(/[.:]/)[0];
    document.getElementById("dialog-title").textContent = `${title}: ${row.cells[0].textContent.trim()}`;
    content.replaceChildren(
      summary(runs),
      ...(row.dataset.left ? [make("p", { class: "absent" }, `The page does not hold ${row.dataset.left} more runs of this row: their records are in ${data.folder}.`)] : []),
      make("h3", {}, others.length ? "Settings, compared with the other rows" : "Settings that differ"), differences(ids, [...new Set(others)]),
      make("h3", {}, "Curves"), charts(runs),
      make("h3", {}, "Origin"), ...runs.map((run) => particulars(run, runs.length === 1)),
    );
    dialog.showModal();
    dialog.scrollTop = 0;
  };
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-runs]");
    if (row && !String(getSelection())) show(row);
    if (event.target === dialog || event.target.closest(".close")) dialog.close();
  });
})();
