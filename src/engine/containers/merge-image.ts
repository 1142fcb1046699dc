/** What a container's Config takes from its image. */
import { healthcheckSchema } from "../../core/container-config.ts";
import type { ContainerConfig } from "../../core/container-config.ts";
import { invalidParameter } from "../../lib/errors.ts";
import type { ImageSettings } from "../../lib/oci-image.ts";
import { zero } from "../../lib/schema.ts";

/** Changes `config` in place. Throws when there is nothing to run. */
export function mergeImage(config: ContainerConfig, image: ImageSettings): void {
  config.User ||= image.User ?? "";
  config.ExposedPorts = mergeKeys(config.ExposedPorts, image.ExposedPorts);
  config.Env = mergeEnv(config.Env, image.Env ?? null);
  config.Labels = { ...image.Labels, ...config.Labels };
  mergeCommand(config, image);
  mergeHealthcheck(config, image.Healthcheck);
  config.WorkingDir ||= image.WorkingDir ?? "";
  config.Volumes = mergeKeys(config.Volumes, image.Volumes);
  config.StopSignal ||= image.StopSignal ?? "";
}

function mergeKeys(own: Record<string, object> | null, inherited: Record<string, object> | null | undefined): Record<string, object> | null {
  if (isEmpty(own)) return inherited ? { ...inherited } : null;
  return { ...inherited, ...own };
}

const isEmpty = (value: object | null): boolean => value === null || Object.keys(value).length === 0;

function mergeEnv(own: string[] | null, inherited: string[] | null): string[] | null {
  if (own === null || own.length === 0) return inherited && [...inherited];
  const key = (entry: string): string => entry.split("=", 1)[0] as string;
  const keys = new Set(own.map(key));
  return [...own, ...(inherited ?? []).filter((entry) => !keys.has(key(entry)))];
}

function mergeCommand(config: ContainerConfig, image: ImageSettings): void {
  if ((config.Entrypoint?.length ?? 0) === 0) {
    if ((config.Cmd?.length ?? 0) === 0) config.Cmd = image.Cmd ?? null;
    config.Entrypoint ??= image.Entrypoint ?? null;
  }
}

/** An entrypoint of one empty string resets the image's. Throws when neither names a program. */
export function requireCommand(config: ContainerConfig): void {
  if (config.Entrypoint?.length === 1 && config.Entrypoint[0] === "") config.Entrypoint = null;
  if ((config.Entrypoint?.length ?? 0) === 0 && (config.Cmd?.length ?? 0) === 0) throw invalidParameter("no command specified");
}

function mergeHealthcheck(config: ContainerConfig, inherited: ImageSettings["Healthcheck"]): void {
  if (!inherited) return;
  const base = { ...zero(healthcheckSchema), ...inherited };
  const own = config.Healthcheck;
  config.Healthcheck = own
    ? {
        Test: (own.Test?.length ?? 0) === 0 ? base.Test : own.Test,
        Interval: own.Interval || base.Interval,
        Timeout: own.Timeout || base.Timeout,
        StartPeriod: own.StartPeriod || base.StartPeriod,
        StartInterval: own.StartInterval || base.StartInterval,
        Retries: own.Retries || base.Retries,
      }
    : base;
}
