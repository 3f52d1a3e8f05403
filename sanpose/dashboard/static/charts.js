// Small line charts as SVG, with axes, a legend, and their last values as text for screen readers.

import { el } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 360, HEIGHT = 190, LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 28;
export const COLOURS = 6;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A figure of lines [{label, colour, points: [[epoch, value], ...]}]; null when no line has a point. */
export function chart(title, unit, lines, digits) {
  const drawn = lines.filter((line) => line.points.length);
  if (!drawn.length) return null;
  const all = drawn.flatMap((line) => line.points);
  const x = scale(all.map((p) => p[0]), LEFT, WIDTH - RIGHT, 5);
  const y = scale(all.map((p) => p[1]), HEIGHT - BOTTOM, TOP, 4);
  const last = drawn.map((line) => `${line.label}: ${line.points.at(-1)[1].toFixed(digits)}${unit} at epoch ${round(line.points.at(-1)[0])}`);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}. Last values: ${last.join("; ")}` });
  picture.append(...axes(x, y));
  for (const line of drawn) picture.append(...trace(line, x, y));
  const readout = el("output", { class: "readout" }, "");
  const cross = svg("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, x1: -9, x2: -9 });
  picture.append(cross);
  picture.addEventListener("pointermove", (event) => point(event, picture, x, drawn, cross, readout, unit, digits));
  picture.addEventListener("pointerleave", () => { readout.textContent = ""; cross.setAttribute("x1", -9); cross.setAttribute("x2", -9); });
  return el("figure", {}, el("figcaption", {}, title), picture, readout);
}

export function legend(lines) {
  return el("ul", { class: "legend" }, ...lines.map((line) => el("li", { class: `c${line.colour}` }, line.label)));
}

/** A linear scale over round ticks; a flat line gets some room. */
function scale(values, from, to, count) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low === high) { const room = Math.abs(low) * 0.1 || 1; low -= room; high += room; }
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((s) => s * power >= raw) * power;
  const begin = Math.floor(low / step) * step, end = Math.ceil(high / step) * step;
  const ticks = [];
  for (let i = 0; begin + i * step <= end + step / 2; i++) ticks.push(begin + i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { at: (value) => from + ((value - begin) / (end - begin)) * (to - from), ticks, digits, begin, end, from, to };
}

function axes(x, y) {
  const parts = [];
  for (const tick of y.ticks) {
    parts.push(svg("line", { class: "line", x1: LEFT, x2: WIDTH - RIGHT, y1: y.at(tick), y2: y.at(tick) }));
    parts.push(svg("text", { x: LEFT - 5, y: y.at(tick) + 3.5, "text-anchor": "end" }, tick.toFixed(y.digits)));
  }
  for (const tick of x.ticks) parts.push(svg("text", { x: x.at(tick), y: HEIGHT - 15, "text-anchor": "middle" }, tick.toFixed(x.digits)));
  parts.push(svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, "epoch"));
  return parts;
}

function trace(line, x, y) {
  const path = line.points.map((p) => `${x.at(p[0]).toFixed(1)},${y.at(p[1]).toFixed(1)}`).join(" ");
  const parts = [svg("polyline", { class: `trace c${line.colour}`, points: path })];
  if (line.points.length < 40) {
    for (const p of line.points) parts.push(svg("circle", { class: `dot c${line.colour}`, cx: x.at(p[0]), cy: y.at(p[1]), r: 2.2 }));
  }
  return parts;
}

function point(event, picture, x, lines, cross, readout, unit, digits) {
  const box = picture.getBoundingClientRect();
  const at = ((event.clientX - box.left) / box.width) * WIDTH;
  const epoch = x.begin + ((at - x.from) / (x.to - x.from)) * (x.end - x.begin);
  if (epoch < x.begin || epoch > x.end) return;
  cross.setAttribute("x1", at);
  cross.setAttribute("x2", at);
  const near = lines.map((line) => [line, line.points.reduce((a, b) => (Math.abs(b[0] - epoch) < Math.abs(a[0] - epoch) ? b : a))]);
  readout.textContent = near.map(([line, p]) => `${line.label}: ${p[1].toFixed(digits)}${unit} (epoch ${round(p[0])})`).join("; ");
}

function round(value) {
  return String(Math.round(value * 100) / 100);
}

/** The three charts of some runs: [{id, label}] and their curves by id. */
export function charts(runs, curves) {
  const lines = (name) => runs.map((run, i) => ({ label: run.label, colour: i % COLOURS, points: curves[run.id]?.[name] ?? [] }));
  const drawn = [
    chart("Loss, mean of the epoch so far", "", lines("loss"), 4),
    chart("MPJPE of evaluations, mm", " mm", lines("mpjpe_mm"), 1),
    chart("delta, the weight of the attention", "", lines("delta"), 4),
  ].filter(Boolean);
  return drawn.length ? el("div", { class: "charts" }, ...drawn) : el("p", { class: "quiet" }, "The journal has no line yet.");
}
