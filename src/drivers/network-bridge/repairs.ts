/** Runs a repair a moment after it was asked for, one at a time: one change by another program is several events, and the repair itself is some. */
import { messageOf } from "../../lib/errors.ts";

export interface Repairs {
  request(): void;
  close(): void;
}

const SETTLE_MS = 20;

export function createRepairs(repair: () => Promise<void>, warn: (message: string) => void): Repairs {
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let closed = false;

  const run = async (): Promise<void> => {
    timer = undefined;
    running = true;
    try {
      await repair();
    } catch (error) {
      warn(`repairing the network: ${messageOf(error)}`);
    }
    running = false;
  };

  const request = (): void => {
    if (closed || timer) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (running) request();
      else if (!closed) void run();
    }, SETTLE_MS);
  };

  return {
    request,
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}
