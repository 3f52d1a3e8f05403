// Polls the server for changes and stores them. Does not know how the page shows them.

const EVERY_MS = 2000;

export const store = {
  runs: new Map(), sweeps: new Map(), trials: new Map(), loose: [], broken: [],
  machine: null, folder: "", skew: 0, started: "", version: 0,
};

/** Calls `changed(kinds)` after every answer, with the kinds of the changed items, and `connection(state, text)`. */
export async function follow(changed, connection) {
  for (;;) {
    try {
      const answer = await fetch(`api/changes?started=${store.started}&version=${store.version}`);
      if (answer.status === 403) {
        connection("refused", "refused: open the address that `sanpose dashboard` printed");
      } else if (!answer.ok) {
        connection("lost", `the server answers ${answer.status}: ${(await answer.json().catch(() => ({}))).error ?? answer.statusText}`);
      } else {
        const kinds = take(await answer.json());
        connection("live", "live");
        changed(kinds);
      }
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;
      connection("lost", "no connection; trying again");
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function take(answer) {
  if (answer.full) {
    for (const map of [store.runs, store.sweeps, store.trials]) map.clear();
    store.loose = [];
    store.broken = [];
  }
  const kinds = new Set(answer.full ? ["sweep", "trials", "run", "loose", "broken"] : []);
  const maps = { run: store.runs, sweep: store.sweeps, trials: store.trials };
  for (const [kind, name, value] of answer.items) {
    kinds.add(kind);
    if (!(kind in maps)) store[kind] = value ?? [];
    else if (value === null) maps[kind].delete(name);
    else maps[kind].set(name, value);
  }
  store.started = answer.started;
  store.version = answer.version;
  store.machine = answer.machine;
  store.folder = answer.runs;
  store.skew = answer.at - Date.now() / 1000;
  return kinds;
}

/** Seconds since 1970 by the server's clock. */
export function now() {
  return Date.now() / 1000 + store.skew;
}

export async function ask(address, options) {
  const answer = await fetch(address, options);
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error ?? `the server answers ${answer.status}`);
  return content;
}
