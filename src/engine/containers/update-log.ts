/** Options of a container's log driver that an update changes. Pure. */
import type { HostConfig, UpdateRequest } from "../../core/container-config.ts";
import { conflict } from "../../lib/errors.ts";
import { validateLogConfig } from "./validate/log-config.ts";

type LogConfig = HostConfig["LogConfig"];
export type LogChange = Pick<UpdateRequest, "LogOptAdd" | "LogOptRemove">;

export const changesLog = ({ LogOptAdd, LogOptRemove }: LogChange): boolean => Object.keys(LogOptAdd ?? {}).length > 0 || (LogOptRemove ?? []).length > 0;

/** What is removed and added at once is there. Throws Docker's words for options that the driver does not know. */
export function changedLogConfig({ Type, Config }: LogConfig, { LogOptAdd, LogOptRemove }: LogChange): LogConfig {
  if (Type === "none") throw conflict("the log driver of this container is none: it has no options");
  const kept = Object.entries(Config ?? {}).filter(([key]) => !LogOptRemove?.includes(key));
  const changed: LogConfig = { Type, Config: { ...Object.fromEntries(kept), ...LogOptAdd } };
  validateLogConfig(changed, { Type: "", Config: {} });
  return changed;
}
