/**
 * What a container may be, as its users can know it: a set of states, narrowed by what they see and widened by what they do
 * without seeing the result. Pure.
 *
 * Calls that overlap on one container may take effect in any order, so their answers prove nothing; a call that is alone
 * has to fit. A set that becomes empty is a disagreement with the engine.
 */
export type State = "absent" | "created" | "running" | "paused" | "restarting" | "exited" | "removing";

export type Action = "create" | "start" | "stop" | "kill" | "restart" | "pause" | "unpause" | "remove" | "force-remove" | "prune" | "commit" | "look";

/** "lost": the daemon died before it answered. "failed": an error that a killed shim or launcher excuses. */
export type Outcome = "done" | "unchanged" | "refused" | "absent" | "lost" | "failed";

export interface Traits {
  /** Its program ends by itself. */
  short: boolean;
  /** Restart policy "always". */
  always: boolean;
  /** --rm */
  autoRemove: boolean;
}

const existing: readonly State[] = ["created", "running", "paused", "restarting", "exited", "removing"];

/** Where an action that succeeds leads; none: it is refused. */
const effects: Record<Exclude<Action, "look">, Partial<Record<State, readonly State[]>>> = {
  create: { absent: ["created"] },
  start: { created: ["running"], exited: ["running"], restarting: ["running"] },
  stop: { running: ["exited"], paused: ["exited"], restarting: ["exited"] },
  kill: { running: ["exited"], paused: ["exited"], restarting: ["exited"] },
  restart: { created: ["running"], exited: ["running"], restarting: ["running"], running: ["running"], paused: ["running"] },
  pause: { running: ["paused"] },
  unpause: { paused: ["running"] },
  remove: { created: ["absent"], exited: ["absent"] },
  "force-remove": { created: ["absent"], exited: ["absent"], running: ["absent"], paused: ["absent"], restarting: ["absent"] },
  prune: { created: ["absent"], exited: ["absent"], restarting: ["restarting", "absent"] },
  commit: { created: ["created"], running: ["running"], paused: ["paused"], restarting: ["restarting"], exited: ["exited"] },
};

/** Of all containers at once: those that it does not concern stay as they are. */
const forAll: ReadonlySet<Action> = new Set(["prune"]);

/** What is answered with "not modified". */
const unchanged: Partial<Record<Action, readonly State[]>> = { start: ["running"], stop: ["created", "exited"] };

/** States on the way of an action, which stay when it is cut off: a stop thaws what it signals. */
const halfway: Partial<Record<Action, readonly State[]>> = { start: ["exited"], stop: ["running"], restart: ["exited"], remove: ["removing"], "force-remove": ["removing", "exited"], prune: ["removing"], commit: ["paused"] };

const signalling: ReadonlySet<Action> = new Set(["stop", "kill", "restart", "force-remove"]);

/** The states that an action may lead to from one state, if its answer was this. Empty: it cannot have been. */
export function after(state: State, action: Action, outcome: Outcome): readonly State[] {
  if (action === "look" && (outcome === "lost" || outcome === "failed")) return [state];
  if (action === "look") return outcome === "absent" ? (state === "absent" ? [state] : []) : state === "absent" ? [] : [state];
  const leads = effects[action][state];
  switch (outcome) {
    case "done":
      return leads ?? (forAll.has(action) ? [state] : []);
    case "unchanged":
      return unchanged[action]?.includes(state) === true ? [state] : [];
    case "refused":
      // It may have ended while it was to be frozen.
      if (action === "commit") return state === "absent" ? [] : [state];
      return leads === undefined && (state !== "absent" || action === "create") ? [state] : [];
    case "absent":
      return state === "absent" && action !== "create" ? [state] : [];
    case "failed":
    case "lost":
      return leads === undefined ? [state] : [state, ...leads, ...(halfway[action] ?? [])];
  }
}

/** What may follow without anybody's doing. */
export function byItself(state: State, { short, always, autoRemove }: Traits): readonly State[] {
  if (state === "removing") return ["absent"];
  if (state === "running" && short) return always ? ["restarting", "exited"] : ["exited"];
  // Its end was under way when it was frozen.
  if (state === "paused" && short) return always ? ["restarting", "exited"] : ["exited"];
  if (state === "restarting") return ["running", "exited"];
  if (state === "exited" && autoRemove) return ["removing", "absent"];
  return [];
}

export class Container {
  readonly traits: Traits;
  #possible = new Set<State>(["absent"]);
  /** Its shim was killed and the engine may not have seen it yet. */
  #dying = false;
  #lostShims = 0;
  /** Its policy starts it, sooner or later, until somebody stops it. */
  #due = false;
  readonly #running = new Set<Action>();
  /** Calls that are no longer alone. */
  readonly #overlapped = new Set<object>();
  readonly #calls = new Set<object>();

  constructor(traits: Traits) {
    this.traits = traits;
  }

  get possible(): ReadonlySet<State> {
    return this.#possible;
  }

  /** A call begins; its token is for `end`. */
  begin(action: Action): object {
    const call = { action };
    this.#calls.add(call);
    if (this.#calls.size > 1) for (const each of this.#calls) this.#overlapped.add(each);
    this.#running.add(action);
    if (this.#overlapped.has(call)) this.#widen();
    return call;
  }

  /** It was answered. Returns what was thought possible when the answer cannot be explained. */
  end(call: object, action: Action, outcome: Outcome, seen?: State): string | undefined {
    const alone = !this.#overlapped.delete(call);
    if (!alone) this.#widen();
    this.#calls.delete(call);
    this.#running.clear();
    for (const each of this.#calls) this.#running.add((each as { action: Action }).action);
    // A signal that was sent to a frozen container before the daemon died ends it when it is thawed, whenever that is.
    if (outcome === "lost" && signalling.has(action) && this.#possible.has("paused")) this.#dying = true;
    if (!alone && seen === undefined) return undefined;
    const before = this.#closed(this.#possible);
    const next = new Set([...before].flatMap((state) => after(state, action, outcome)));
    const fits = seen === undefined ? next : new Set([...next].filter((state) => state === seen));
    if (fits.size === 0) {
      this.#possible = new Set<State>(seen === undefined ? [...existing, "absent"] : [seen]);
      return `possible were ${[...before].join(", ")}`;
    }
    if (alone && outcome === "done" && (action === "stop" || action === "kill")) this.#due = false;
    // Who looks while others act sees a moment that may be over.
    this.#possible = alone ? this.#closed(fits) : before;
    return undefined;
  }

  /** Its shim was killed, or may have been. Until seenShim() gets what this returns it may still seem to run. */
  lostShim(): number {
    this.#due = this.traits.always;
    this.#dying = true;
    this.#possible = this.#closed(this.#possible);
    return ++this.#lostShims;
  }

  seenShim(lost: number): void {
    this.#possible = this.#closed(this.#possible);
    if (lost === this.#lostShims) this.#dying = false;
  }

  /** The daemon was started again. */
  newDaemon(): void {
    this.#due = this.traits.always;
    this.#possible = this.#closed(this.#possible);
  }

  /** Everything that the running calls may have done already, in any order. */
  #widen(): void {
    for (let size = -1; size !== this.#possible.size; ) {
      size = this.#possible.size;
      const found = [...this.#possible].flatMap((state) => [...this.#running].flatMap((action) => (action === "look" ? [] : after(state, action, "lost"))));
      this.#possible = this.#closed(new Set([...this.#possible, ...found]));
    }
  }

  /** What a lost shim or a policy leads to. */
  #caused(state: State): readonly State[] {
    if (this.#dying && (state === "running" || state === "paused")) return this.traits.always ? ["exited", "restarting"] : ["exited"];
    return this.#due && (state === "exited" || state === "running") ? ["running", "restarting"] : [];
  }

  #closed(states: Iterable<State>): Set<State> {
    const all = new Set(states);
    for (const state of all) for (const next of [...byItself(state, this.traits), ...this.#caused(state)]) all.add(next);
    return all;
  }
}
