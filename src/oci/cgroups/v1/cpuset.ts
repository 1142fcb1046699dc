import type { Controller } from "../controller.ts";
import { write } from "../controller.ts";

/** The group's files were filled from its parent when it was made (Plan: copyCpuset). */
export const cpuset: Controller = {
  name: "cpuset",
  field: "cpu",
  writes: ({ cpu = {} }) => [...write("cpuset.cpus", cpu.cpus), ...write("cpuset.mems", cpu.mems)],
};
