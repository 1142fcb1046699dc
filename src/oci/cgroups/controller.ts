/** What one controller's file exports: how the resources it is responsible for become writes to its interface files. */
import type { OciResources } from "../../lib/oci-spec.ts";
import { invalidParameter } from "../../lib/errors.ts";

export interface CgroupWrite {
  /** The interface file's name in the group's folder. */
  file: string;
  data: string;
  /** Errno names that do not fail the container. */
  optional?: string[];
}

export interface ControllerContext {
  /** See CgroupLayout.files. */
  files: ReadonlySet<string>;
  /** What a file of the running group holds now, for updates whose order depends on it; undefined for a new group. */
  current?: (file: string) => string | undefined;
}

export interface Controller {
  /** The kernel's name of it. */
  name: string;
  /** The field of linux.resources that it serves. */
  field: keyof OciResources;
  writes(resources: OciResources, context: ControllerContext): CgroupWrite[];
}

/** A write unless the value is absent. */
export function write(file: string, value: number | string | undefined): CgroupWrite[] {
  return value === undefined || value === "" ? [] : [{ file, data: String(value) }];
}

export function unsupported(field: string, why: string): never {
  throw invalidParameter(`linux.resources.${field} is not supported: ${why}`);
}

/** True when the field asks for something: not absent, not empty, not all of its members absent. */
export function asksFor(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object") return Object.values(value).some(asksFor);
  return true;
}

export const deviceKey = (device: { major: number; minor: number }): string => `${device.major}:${device.minor}`;
