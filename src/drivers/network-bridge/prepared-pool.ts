/**
 * Network namespaces that already hold their veth, made in the background because making one waits for kernel locks. Small
 * and bounded. They die with the daemon: nothing but its descriptors holds them.
 */
import type { SandboxNamespace } from "../../core/network.ts";
import { messageOf } from "../../lib/errors.ts";
import { randomId } from "../../lib/random-id.ts";

export interface Prepared {
  endpointId: string;
  sandbox: SandboxNamespace;
}

export interface PreparedPool {
  /** One that is ready, or one made now. Refills in the background. */
  take(): Promise<Prepared>;
  /** Resolves when it is full, filling failed, or had to give way. */
  filled(): Promise<void>;
  /** Drops all and says which endpoints they were; further takes give nothing. */
  drain(): Promise<string[]>;
}

export interface PreparedPoolOptions {
  size: number;
  /** Makes the interface of a new endpoint in a new sandbox. */
  prepare: (endpointId: string) => Promise<SandboxNamespace>;
  warn: (message: string) => void;
}

/** How long after a take the refill begins: the start that took it comes first, and waits for the same locks. */
const REFILL_DELAY_MS = 30;

export function createPreparedPool({ size, prepare, warn }: PreparedPoolOptions): PreparedPool {
  const ready: Prepared[] = [];
  let filling: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let drained = false;
  /** Takes that found nothing ready: while there are some, what the refill would take from the kernel, they would wait for. */
  let wanting = 0;

  const make = async (): Promise<Prepared> => {
    const endpointId = randomId();
    return { endpointId, sandbox: await prepare(endpointId) };
  };

  const fill = async (): Promise<void> => {
    while (!drained && ready.length < size && wanting === 0) {
      const made = await make();
      if (drained) made.sandbox.close();
      else ready.push(made);
    }
  };

  const startFilling = (): Promise<void> => {
    filling ??= fill()
      .then(
        () => ready.length < size,
        (error: unknown) => warn(`preparing network namespaces: ${messageOf(error)}`),
      )
      .then((again) => {
        filling = undefined;
        if (again) refillLater();
      });
    return filling;
  };

  const refillSoon = (): void => {
    if (drained || filling || size === 0) return;
    if (ready.length < size / 2 && wanting === 0) return void startFilling();
    refillLater();
  };

  const refillLater = (): void => {
    if (drained) return;
    clearTimeout(timer);
    timer = setTimeout(() => void startFilling(), REFILL_DELAY_MS);
    timer.unref();
  };

  return {
    take: async () => {
      const prepared = ready.shift();
      if (prepared) {
        refillSoon();
        return prepared;
      }
      wanting++;
      try {
        return await make();
      } finally {
        wanting--;
        refillSoon();
      }
    },
    filled: () => startFilling(),
    drain: async () => {
      drained = true;
      clearTimeout(timer);
      await filling;
      const dropped = ready.splice(0);
      for (const { sandbox } of dropped) sandbox.close();
      return dropped.map(({ endpointId }) => endpointId);
    },
  };
}
