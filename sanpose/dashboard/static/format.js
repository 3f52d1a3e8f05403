// Elements and figures for people. Text is inserted as text, never as markup.

export const STATES = ["running", "unverified", "stopped", "failed", "broken", "interrupted", "waiting", "pruned", "done"];
export const TROUBLE = ["failed", "broken", "stopped", "interrupted"];

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function number(value, digits) {
  return value === null || value === undefined ? "" : value.toFixed(digits);
}

export function signed(value, digits) {
  return value === null || value === undefined ? "" : (value >= 0 ? "+" : "\u2212") + Math.abs(value).toFixed(digits);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(count) {
  return count >= 1e12 ? `${(count / 1e12).toFixed(1)} TB` : `${(count / 1e9).toFixed(count < 1e10 ? 1 : 0)} GB`;
}

/** The main figure of a run, with its unit; "" without figures of the trained network. */
export function figure(run) {
  if (run.measured === "untrained") return "";
  if (run.mpjpe_mm !== undefined) return `${run.mpjpe_mm.toFixed(1)} mm`;
  if (run.pckh !== undefined) return `PCKh ${run.pckh.toFixed(1)} %`;
  if (run.ap !== undefined) return `AP ${run.ap.toFixed(3)}`;
  return "";
}

/** A note for a figure that is not the final one. */
export function measured(run) {
  return run.measured === "evaluation" ? "on a part of the samples" : "";
}

export function epoch(run) {
  if (run.epoch === undefined) return run.epochs === undefined ? "" : `epoch 0 of ${run.epochs}`;
  return `epoch ${run.epoch} of ${run.epochs ?? "?"}`;
}

/** A progress bar; screen readers skip it, as a text beside it says the same. */
export function bar(share) {
  const inside = el("span");
  inside.style.width = `${Math.round(1000 * Math.min(1, Math.max(0, share || 0))) / 10}%`;
  return el("span", { class: "progress", "aria-hidden": "true" }, inside);
}
