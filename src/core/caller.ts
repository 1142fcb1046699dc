/** Who asked for what happens now: it goes along with a request's work, through promises and timers, so that events can tell it. */

/** What is known of a client: of a unix socket its process as it connected, of TCP the address and the name in its certificate. */
export interface Caller {
  pid?: number;
  uid?: number;
  /** The program's name, where the process was still there. */
  program?: string;
  address?: string;
  certificate?: string;
}

const { AsyncLocalStorage } = process.getBuiltinModule("node:async_hooks");
const current = new AsyncLocalStorage<() => Caller>();

/** Undefined: the engine itself. */
export function currentCaller(): Caller | undefined {
  return current.getStore()?.();
}

/** Does something for a client; `caller` is called when somebody wants to know. */
export function onBehalfOf<T>(caller: () => Caller, run: () => T): T {
  return current.run(caller, run);
}

/** Begins something that the engine does by itself later on, whoever's request it follows from. */
export function byEngine<T>(run: () => T): T {
  return current.exit(run);
}
