/** Sysctls that the kernel tells nobody of when they change: looked at twice a second, and set back. */
import { messageOf } from "../../lib/errors.ts";
import type { NetworkKernel } from "./kernel.ts";

export interface SysctlKeeper {
  /** Sets it, and has it stay so. */
  keep(name: string, value: string): Promise<void>;
  /** It may be what it is. */
  forget(name: string): void;
  close(): void;
}

const LOOK_MS = 500;

export function keepSysctls({ kernel, warn, repaired }: { kernel: NetworkKernel; warn: (message: string) => void; repaired: (what: string) => void }): SysctlKeeper {
  const wanted = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;

  const restore = async (names: readonly string[]): Promise<void> => {
    const present = await kernel.readSysctls(names);
    // What is not there any more has gone with its interface.
    const changed = names.filter((name, index) => present[index] !== undefined && present[index].trim() !== wanted.get(name) && wanted.has(name));
    for (const name of changed) {
      await kernel.writeSysctls([{ name, value: wanted.get(name) ?? "", optional: true }]);
      const dotted = name.replaceAll("/", ".");
      warn(`the sysctl ${dotted} was changed by another program and is ${wanted.get(name)} again`);
      repaired(`sysctl ${dotted}`);
    }
  };

  const look = async (): Promise<void> => {
    await restore([...wanted.keys()]).catch((error: unknown) => warn(`looking at sysctls: ${messageOf(error)}`));
    timer = undefined;
    schedule();
  };

  const schedule = (): void => {
    if (wanted.size > 0) timer ??= setTimeout(() => void look(), LOOK_MS).unref();
  };

  return {
    keep: async (name, value) => {
      await kernel.writeSysctls([{ name, value }]);
      wanted.set(name, value);
      schedule();
    },
    forget: (name) => void wanted.delete(name),
    close: () => {
      wanted.clear();
      clearTimeout(timer);
    },
  };
}
