/** The module of each command. What is missing here is known but not done yet. */
import type { FlagCheck } from "./flag-types.ts";
import type { CommandRun } from "./session.ts";

export interface CommandModule {
  run: CommandRun;
  /** The command's own rules for flag values. */
  checks?: Record<string, FlagCheck>;
}

export const HANDLERS: Record<string, () => Promise<CommandModule>> = {
  "container attach": () => import("./commands/container/attach.ts"),
  "container create": () => import("./commands/container/create.ts"),
  "container exec": () => import("./commands/container/exec.ts"),
  "container logs": () => import("./commands/container/logs.ts"),
  "container ls": () => import("./commands/container/ls.ts"),
  "container run": () => import("./commands/container/run.ts"),
  "container start": () => import("./commands/container/start.ts"),
  "image ls": () => import("./commands/image/ls.ts"),
  version: () => import("./commands/system/version.ts"),
};
