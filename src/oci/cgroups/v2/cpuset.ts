import type { Controller } from "../controller.ts";
import { write } from "../controller.ts";

export const cpuset: Controller = {
  name: "cpuset",
  field: "cpu",
  writes: ({ cpu = {} }) => [...write("cpuset.cpus", cpu.cpus), ...write("cpuset.mems", cpu.mems)],
};
