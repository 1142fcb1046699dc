/** Attaching to a container's streams, now or when it starts. */
import type { Duplex } from "node:stream";
import type { AttachOptions } from "../../../core/runtime.ts";
import { conflict } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import { hasTask } from "./state.ts";

export interface Attachment {
  tty: boolean;
  /** The stream, once there is one: at once for a container that runs, at its next start otherwise. */
  stream: Promise<Duplex>;
  /** The client is not interested any more. */
  cancel: () => void;
}

/** Checks that the container can be attached to, and begins. */
export function attach(context: LifecycleContext, ref: string, options: AttachOptions): Attachment {
  const record = context.store.find(ref);
  if (record.state.status === "paused") throw conflict(`container ${ref} is paused, unpause the container before attach`);
  if (record.state.status === "restarting") throw conflict(`container ${ref} is restarting, wait until the container is running`);
  const live = context.live(record.id);
  const wanted = { ...options, stdin: options.stdin && record.config.OpenStdin };
  const tty = record.config.Tty;
  if (hasTask(record) && live.task) {
    const stream = live.task.attach(wanted);
    // It may fail before the caller looks at it.
    stream.then((opened) => live.attached(opened), () => {});
    return { tty, stream, cancel: () => void stream.then((opened) => opened.destroy(), () => {}) };
  }
  let cancel = (): void => {};
  const stream = new Promise<Duplex>((resolve) => {
    const pending = { options: wanted, resolve };
    live.pending.add(pending);
    cancel = () => live.pending.delete(pending);
  });
  return { tty, stream, cancel };
}
