/**
 * Interfaces on their way out. Deleting a veth takes the kernel 18 ms and more; the end of its namespace takes it along in a
 * batch with others, at no cost to us. So we look now and then, and delete only what something keeps alive: another
 * container in the same namespace, or a process that holds it open.
 */
import { messageOf } from "../../lib/errors.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";

export interface Departures {
  /** Resolves when the interface is gone. */
  wait(name: string): Promise<void>;
  /** Resolves when all are gone, or the time is over; then nobody looks any more. */
  close(milliseconds: number): Promise<void>;
}

const FIRST_LOOK_MS = 20;
const LAST_LOOK_MS = 320;
/** How long a namespace may take to die before its interface is deleted. */
const PATIENCE_MS = 2000;

interface Departure {
  promise: Promise<void>;
  resolve: () => void;
  since: number;
}

export function createDepartures(kernel: NetworkKernel, warn: (message: string) => void): Departures {
  const waiting = new Map<string, Departure>();
  let timer: NodeJS.Timeout | undefined;
  let delay = FIRST_LOOK_MS;
  let closed = false;

  const schedule = (): void => {
    timer ??= setTimeout(() => void look(), delay);
  };

  const look = async (): Promise<void> => {
    try {
      const present = new Set(await kernel.presentLinks([...waiting.keys()]));
      for (const [name, departure] of waiting) if (!present.has(name)) finish(name, departure);
      for (const [name, departure] of waiting) if (performance.now() - departure.since > PATIENCE_MS) await remove(name, departure);
    } catch (error) {
      warn(`looking for interfaces of ended containers: ${messageOf(error)}`);
    }
    timer = undefined;
    delay = Math.min(delay * 2, LAST_LOOK_MS);
    if (waiting.size > 0 && !closed) schedule();
  };

  const remove = async (name: string, departure: Departure): Promise<void> => {
    try {
      await kernel.apply([{ op: "deleteLink", link: { name } }]);
    } catch (error) {
      if (errnoCode(error) !== "ENODEV") throw error;
    }
    finish(name, departure);
  };

  const finish = (name: string, departure: Departure): void => {
    waiting.delete(name);
    departure.resolve();
  };

  return {
    wait: (name) => {
      const known = waiting.get(name);
      if (known) return known.promise;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.set(name, { promise, resolve, since: performance.now() });
      delay = FIRST_LOOK_MS;
      schedule();
      return promise;
    },
    close: async (milliseconds) => {
      let expiry: NodeJS.Timeout | undefined;
      const expired = new Promise<void>((resolve) => (expiry = setTimeout(resolve, milliseconds)));
      await Promise.race([expired, Promise.all([...waiting.values()].map(({ promise }) => promise))]);
      clearTimeout(expiry);
      clearTimeout(timer);
      closed = true;
      for (const [name, departure] of waiting) finish(name, departure);
    },
  };
}
