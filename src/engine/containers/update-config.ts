/** Labels and variables of a container that an update changes. Pure. */
import type { ContainerConfig, UpdateRequest } from "../../core/container-config.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { quote } from "../../lib/strconv.ts";

export type ConfigChange = Pick<UpdateRequest, "LabelAdd" | "LabelRemove" | "EnvAdd" | "EnvRemove">;

export const changesConfig = ({ LabelAdd, LabelRemove, EnvAdd, EnvRemove }: ConfigChange): boolean => [LabelRemove, EnvAdd, EnvRemove, Object.keys(LabelAdd ?? {})].some((list) => (list?.length ?? 0) > 0);

export function validateConfigChange({ LabelAdd, EnvAdd, EnvRemove }: ConfigChange): void {
  if (Object.hasOwn(LabelAdd ?? {}, "")) throw invalidParameter("invalid label: the name is empty");
  for (const entry of EnvAdd ?? []) if (!/^[^=]+=/.test(entry)) throw invalidParameter(`invalid environment variable: ${quote(entry)} is not of the form NAME=VALUE`);
  for (const name of EnvRemove ?? []) if (name === "" || name.includes("=")) throw invalidParameter(`invalid environment variable: ${quote(name)} is no name`);
}

/** What is removed and added at once is there. A variable that has a place keeps it. */
export function changedConfig(config: ContainerConfig, { LabelAdd, LabelRemove, EnvAdd, EnvRemove }: ConfigChange): ContainerConfig {
  const labels = Object.fromEntries(Object.entries(config.Labels ?? {}).filter(([key]) => !LabelRemove?.includes(key)));
  const env = new Map((config.Env ?? []).map((entry) => [nameOf(entry), entry]));
  for (const name of EnvRemove ?? []) env.delete(name);
  for (const entry of EnvAdd ?? []) env.set(nameOf(entry), entry);
  return { ...config, Labels: { ...labels, ...LabelAdd }, Env: env.size > 0 ? [...env.values()] : config.Env && [] };
}

const nameOf = (entry: string): string => entry.split("=", 1)[0] as string;
