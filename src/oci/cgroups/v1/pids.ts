import type { Controller } from "../controller.ts";

/** Shared by v1 and v2. Below 0: no limit; 0 is 1, as runc has it: the container's init needs one. */
export const pids: Controller = {
  name: "pids",
  field: "pids",
  writes: ({ pids }) => (pids?.limit === undefined ? [] : [{ file: "pids.max", data: pids.limit < 0 ? "max" : String(pids.limit || 1) }]),
};
