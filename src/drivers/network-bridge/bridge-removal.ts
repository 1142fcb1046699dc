/** Deletes bridges: those that are to go at the same time together, because the kernel waits for each deletion, with its lock on network configuration held. */
import { randomInt } from "node:crypto";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";

export interface BridgeRemoval {
  /** By its index. Resolves when it is gone; idempotent. */
  remove(index: number): Promise<void>;
}

/** More would keep others from the lock for longer than they save. */
const TOGETHER = 4;
const MAX_GROUP = 2 ** 31;

interface Waiting {
  index: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export function createBridgeRemoval(kernel: NetworkKernel): BridgeRemoval {
  const waiting: Waiting[] = [];
  let running = false;

  const removeOne = async ({ index, resolve, reject }: Waiting): Promise<void> => {
    try {
      await kernel.apply([{ op: "deleteLink", link: { index } }]);
      resolve();
    } catch (error) {
      if (errnoCode(error) === "ENODEV") resolve();
      else reject(error);
    }
  };

  /** A group that nobody else has, for the moment. */
  const removeTogether = async (batch: readonly Waiting[]): Promise<void> => {
    const group = randomInt(1, MAX_GROUP);
    try {
      await kernel.apply([...batch.map(({ index }): RouteChange => ({ op: "setLink", link: { index }, group })), { op: "deleteGroup", group }]);
      for (const { resolve } of batch) resolve();
    } catch {
      // Whatever it was: each for itself says it.
      for (const one of batch) await removeOne(one);
    }
  };

  const run = async (): Promise<void> => {
    running = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, TOGETHER);
      await (batch.length === 1 ? removeOne(batch[0]!) : removeTogether(batch));
    }
    running = false;
  };

  return {
    remove: (index) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.push({ index, resolve, reject });
      if (!running) void run();
      return promise;
    },
  };
}
