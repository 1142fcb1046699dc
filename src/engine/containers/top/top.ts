/** Processes of a container, as ps would print them, without a ps. */
import type { LifecycleContext } from "../lifecycle/context.ts";
import { emit, taskOf } from "../lifecycle/state.ts";
import { parsePsArguments } from "./arguments.ts";
import { readMachine } from "./columns.ts";
import { readProcess, type ProcessFacts } from "./process.ts";

export interface TopResult {
  Processes: string[][];
  Titles: string[];
}

/** `psArguments` as given to ps, "-ef" by default. */
export async function top(context: LifecycleContext, ref: string, psArguments: string): Promise<TopResult> {
  const record = context.store.find(ref);
  const task = taskOf(context, record);
  const chosen = parsePsArguments((psArguments === "" ? "-ef" : psArguments).split(/\s+/).filter((word) => word !== ""));
  const found = await Promise.all((await task.pids()).map(readProcess));
  const processes = found.filter((process): process is ProcessFacts => process !== undefined).sort((a, b) => a.pid - b.pid);
  const machine = readMachine();
  emit(context, record, "top");
  return { Processes: processes.map((process) => chosen.map((column) => column.value(process, machine))), Titles: chosen.map((column) => column.title) };
}
