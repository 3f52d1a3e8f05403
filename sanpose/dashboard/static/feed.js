// Asks the server what has changed, again and again, and keeps the answer. Knows nothing of how it is shown.

const EVERY_MS = 2000;

export const known = {
  runs: new Map(), sweeps: new Map(), trials: new Map(), loose: [], broken: [],
  machine: null, folder: "", skew: 0, started: "", version: 0,
};

/** Calls `changed(kinds)` after every answer, with the kinds of items that came, and `connection(state, text)`. */
export async function follow(changed, connection) {
  for (;;) {
    try {
      const answer = await fetch(`api/changes?started=${known.started}&version=${known.version}`);
      if (answer.status === 403) {
        connection("refused", "refused: open the address that sanpose dashboard printed");
      } else if (!answer.ok) {
        connection("lost", `the server answers ${answer.status}: ${(await answer.json().catch(() => ({}))).error ?? answer.statusText}`);
      } else {
        const kinds = take(await answer.json());
        connection("live", "live");
        changed(kinds);
      }
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;
      connection("lost", "no connection: trying again");
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function take(told) {
  if (told.full) {
    for (const map of [known.runs, known.sweeps, known.trials]) map.clear();
    known.loose = [];
    known.broken = [];
  }
  const kinds = new Set(told.full ? ["sweep", "trials", "run", "loose", "broken"] : []);
  const maps = { run: known.runs, sweep: known.sweeps, trials: known.trials };
  for (const [kind, name, value] of told.items) {
    kinds.add(kind);
    if (!(kind in maps)) known[kind] = value ?? [];
    else if (value === null) maps[kind].delete(name);
    else maps[kind].set(name, value);
  }
  known.started = told.started;
  known.version = told.version;
  known.machine = told.machine;
  known.folder = told.runs;
  known.skew = told.at - Date.now() / 1000;
  return kinds;
}

/** Seconds since 1970 by the server's clock. */
export function now() {
  return Date.now() / 1000 + known.skew;
}

export async function ask(address, options) {
  const answer = await fetch(address, options);
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error ?? `the server answers ${answer.status}`);
  return told;
}
