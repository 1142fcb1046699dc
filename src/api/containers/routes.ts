/** Creating, showing, changing and removing containers. */
import type { ContainersContext } from "../../engine/containers/context.ts";
import { ContainerLists } from "../../engine/containers/list.ts";
import type { Route } from "../route.ts";
import { handleCreate } from "./create.ts";
import { handleInspect } from "./inspect.ts";
import { handleList } from "./list.ts";
import { handlePrune } from "./prune.ts";
import { handleRemove } from "./remove.ts";
import { handleRename } from "./rename.ts";
import { handleUpdate } from "./update.ts";

export function containerRoutes(context: ContainersContext): Route[] {
  const lists = new ContainerLists(context);
  return [
    { method: "POST", path: "/containers/create", handler: (call) => handleCreate(context, call) },
    { method: "GET", path: "/containers/json", handler: (call) => handleList(lists, call) },
    { method: "POST", path: "/containers/prune", since: [1, 25], handler: (call) => handlePrune(context, call) },
    { method: "GET", path: "/containers/{name...}/json", handler: (call) => handleInspect(context, call) },
    { method: "POST", path: "/containers/{name...}/rename", handler: (call) => handleRename(context, call) },
    { method: "POST", path: "/containers/{name...}/update", handler: (call) => handleUpdate(context, call) },
    { method: "DELETE", path: "/containers/{name...}", handler: (call) => handleRemove(context, call) },
  ];
}
