/** What the running kernel was compiled with, where that can be read. */
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** undefined: this kernel does not tell. */
export function readKernelConfig(release: string): ((option: string) => "y" | "m" | "n") | undefined {
  const text = configText(release);
  if (text === undefined) return undefined;
  const set = new Map([...text.matchAll(/^(CONFIG_\w+)=([ym])$/gm)].map(([, name, value]) => [name!, value as "y" | "m"]));
  return (option) => set.get(option) ?? "n";
}

function configText(release: string): string | undefined {
  if (existsSync("/proc/config.gz")) return gunzipSync(readFileSync("/proc/config.gz")).toString("latin1");
  const file = [`/boot/config-${release}`, `/lib/modules/${release}/config`].find((path) => existsSync(path));
  return file === undefined ? undefined : readFileSync(file, "latin1");
}
