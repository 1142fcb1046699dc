import { readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { parseConfig } from "../validate/config.ts";

export interface Bundle {
  /** Absolute, without symbolic links. */
  path: string;
  spec: OciSpec;
}

export function loadBundle(folder: string): Bundle {
  const path = realpath(folder);
  const config = join(path, "config.json");
  let text: string;
  try {
    if (!statSync(config).isFile()) throw new Error("not a file");
    text = readFileSync(config, "utf8");
  } catch (error) {
    throw invalidParameter((error as NodeJS.ErrnoException).code === "ENOENT" ? `JSON specification file ${config} not found` : `${config}: ${messageOf(error)}`, error);
  }
  return { path, spec: parseConfig(text) };
}

function realpath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch (error) {
    throw invalidParameter(`bundle ${folder}: ${messageOf(error)}`, error);
  }
}
