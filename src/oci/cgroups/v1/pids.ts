import type { Controller } from "../controller.ts";

/** Shared by v1 and v2. A limit below 1 means none, as Docker's PidsLimit has it. */
export const pids: Controller = {
  name: "pids",
  field: "pids",
  writes: ({ pids }) => (pids?.limit === undefined ? [] : [{ file: "pids.max", data: pids.limit > 0 ? String(pids.limit) : "max" }]),
};
