import type { Controller } from "../controller.ts";
import { write } from "../controller.ts";

export const netCls: Controller = {
  name: "net_cls",
  field: "network",
  writes: ({ network = {} }) => write("net_cls.classid", network.classID || undefined),
};

export const netPrio: Controller = {
  name: "net_prio",
  field: "network",
  writes: ({ network = {} }) => (network.priorities ?? []).map(({ name, priority }) => ({ file: "net_prio.ifpriomap", data: `${name} ${priority}` })),
};
