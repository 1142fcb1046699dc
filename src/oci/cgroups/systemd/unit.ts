/** Which unit of systemd a container is, and where its groups are: linux.cgroupsPath as "slice:prefix:name". */
import { invalidParameter } from "../../../lib/errors.ts";

export interface SystemdUnit {
  /** "prefix-name.scope", or a name that ends with ".slice". */
  name: string;
  /** "system.slice" */
  slice: string;
  /** Of the group, from the hierarchy's root: "/system.slice/prefix-name.scope". */
  path: string;
}

const defaultPrefix = "gantry";

/** `managerGroup`: below which a user's manager has its units; "" for the system's. */
export function unitOf(cgroupsPath: string | undefined, id: string, { user = false, managerGroup = "" } = {}): SystemdUnit {
  const parts = cgroupsPath ? cgroupsPath.split(":") : ["", defaultPrefix, id];
  if (parts.length !== 3) throw invalidParameter(`linux.cgroupsPath: expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got ${JSON.stringify(cgroupsPath)} instead`);
  const [slice = "", prefix = "", last = ""] = parts;
  const name = last.endsWith(".slice") ? last : `${prefix}-${last}.scope`;
  // systemd.unit(5): what a unit's name is made of.
  if (!/^[\w:.\\@-]{1,255}$/.test(name)) throw invalidParameter(`linux.cgroupsPath: ${JSON.stringify(name)} is not the name of a systemd unit`);
  const parent = slice || (user ? "user.slice" : "system.slice");
  return { name, slice: parent, path: `${managerGroup === "/" ? "" : managerGroup}${sliceFolder(parent)}/${name}` };
}

/** systemd.slice(5): "a-b.slice" is in "a.slice", and "-.slice" is the root. */
function sliceFolder(slice: string): string {
  const name = /^([\w:.\\@-]+)\.slice$/.exec(slice)?.[1];
  if (name === undefined || (name !== "-" && name.split("-").includes(""))) throw invalidParameter(`linux.cgroupsPath: invalid slice name: ${slice}`);
  if (name === "-") return "";
  const words = name.split("-");
  return words.map((_, index) => `/${words.slice(0, index + 1).join("-")}.slice`).join("");
}
