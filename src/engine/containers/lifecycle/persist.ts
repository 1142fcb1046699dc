/** Writing down what has happened already: a full disk must not keep the engine from going on. */
import type { ContainerRecord } from "../../../core/container.ts";
import { messageOf } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";

const RETRY_MILLISECONDS = 2000;

/** Saves the record, and tries again later when it cannot be written. What memory has is true meanwhile. */
export function persist(context: LifecycleContext, record: ContainerRecord): void {
  try {
    context.store.save(record);
  } catch (error) {
    context.warn(`the state of container ${record.id} (${record.state.status}) could not be saved, it is tried again: ${messageOf(error)}`);
    setTimeout(() => {
      if (context.store.get(record.id) === record) persist(context, record);
    }, RETRY_MILLISECONDS).unref();
  }
}
