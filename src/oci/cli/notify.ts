/**
 * sd_notify(3) through gantry-runtime: with NOTIFY_SOCKET in its environment, the container gets a socket of its own at
 * /run/notify/notify.sock. When the container says READY there, the service manager hears it, and which process to watch.
 */
import { closeSync, existsSync, readSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { bindDatagram, sendDatagram } from "../../sys/datagram.ts";
import type { Caller } from "./caller.ts";
import type { Invocation } from "./command.ts";
import { statusOf } from "./status.ts";
import type { ContainerRecord } from "./store.ts";

const inContainer = "/run/notify";

/** How often it is looked whether the container has ended without a word, in milliseconds. */
const watchInterval = 100;

export const notifySocketOf = ({ env = {} }: Caller): string | undefined => env["NOTIFY_SOCKET"] || undefined;

/** `folder`: the container's. */
export function withNotifySocket(spec: OciSpec, socket: string | undefined, folder: string): OciSpec {
  if (socket === undefined || spec.process === undefined) return spec;
  return {
    ...spec,
    mounts: [...(spec.mounts ?? []), { destination: inContainer, type: "bind", source: join(folder, "notify"), options: ["bind", "nosuid", "noexec", "nodev", "ro"] }],
    process: { ...spec.process, env: [...(spec.process.env ?? []), `NOTIFY_SOCKET=${inContainer}/notify.sock`] },
  };
}

interface Readiness {
  /** Resolves when the service manager has been told, or will not be. */
  ready: Promise<void>;
  close: () => void;
}

/** To be called before the container's program starts. */
export function listenForReadiness(record: ContainerRecord, { caller, store, warn }: Pick<Invocation, "caller" | "store" | "warn">): Readiness {
  const socket = notifySocketOf(caller);
  const path = join(store.folder(record.id), "notify", "notify.sock");
  if (socket === undefined || !existsSync(join(path, ".."))) return { ready: Promise.resolve(), close: () => {} };
  const fd = bindDatagram(path);
  let open = true;
  const close = (): void => {
    if (open) closeSync(fd);
    open = false;
  };
  const watch = async (): Promise<void> => {
    while (open && statusOf(record, store) !== "stopped") {
      const line = readDatagram(fd).find((text) => text.startsWith("READY="));
      if (line !== undefined) {
        sendDatagram(socket, `${line}\n`);
        sendDatagram(socket, `MAINPID=${record.pid}\n`);
        break;
      }
      await sleep(watchInterval);
    }
    if (open) unlinkSync(path);
    close();
  };
  const ready = watch().catch((error: unknown) => warn(`NOTIFY_SOCKET ${socket}: ${(error as Error).message}`));
  return { ready, close };
}

/** The lines of the next datagram; none when there is none. */
function readDatagram(fd: number): string[] {
  const bytes = Buffer.alloc(4096);
  try {
    return bytes.toString("utf8", 0, readSync(fd, bytes)).split("\n");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return [];
    throw error;
  }
}
