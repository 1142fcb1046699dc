/** --device. */
import path from "node:path";

export interface DeviceMapping {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
}

/** Each of r, w and m at most once, and at least one. */
const isMode = (text: string): boolean => /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;

/** vendor.com/class=name: a device of the Container Device Interface. */
export const isCdiDevice = (text: string): boolean => /^[A-Za-z0-9][\w.-]*[A-Za-z0-9]?\/[A-Za-z0-9][\w.-]*=[A-Za-z0-9][\w.:-]*$/.test(text);

/** host[:container][:mode]. Throws an Error with Docker's words. */
export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(":");
  const [host = "", second, third] = parts;
  if (parts.length > 3 || host === "") throw new Error(`bad format for path: ${text}`);
  if (third !== undefined && !isMode(third)) throw new Error(`bad mode specified: ${third}`);
  const secondIsMode = second !== undefined && third === undefined && isMode(second);
  const inside = second === undefined || secondIsMode ? host : second;
  if (!path.isAbsolute(inside)) throw new Error(`${inside} is not an absolute path`);
  const clean = (value: string): string => path.normalize(value).replace(/(.)\/$/, "$1");
  return {
    PathOnHost: second === undefined || secondIsMode ? clean(host) : host,
    PathInContainer: third === undefined ? clean(inside) : inside || host,
    CgroupPermissions: third ?? (secondIsMode ? second : "rwm"),
  };
}
