/** Containers that have ended and not left their networks yet: a client that saw the end may remove the network at once. */
import { accessSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { ContainerRecord } from "../../core/container.ts";

const PATIENCE_MS = 2000;
const LOOK_MS = 5;

/** Its process is gone, or the daemon has noticed that. */
function hasEnded({ state }: Pick<ContainerRecord, "state">): boolean {
  if (state.status === "exited" || state.status === "dead" || state.status === "removing") return true;
  if (state.status !== "running") return false;
  try {
    // Of one that nobody has waited for yet there is no namespace any more.
    accessSync(`/proc/${state.pid}/ns/net`);
    return false;
  } catch {
    return true;
  }
}

/** Resolves when there are none of these left, when one of them has not ended, or a while later. */
export async function ended(present: () => string[], findContainer: (id: string) => Pick<ContainerRecord, "state">): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  const isEnding = (id: string): boolean => {
    try {
      return hasEnded(findContainer(id));
    } catch {
      return true;
    }
  };
  for (let ids = present(); ids.length > 0 && ids.every(isEnding) && performance.now() < deadline; ids = present()) await delay(LOOK_MS);
}
