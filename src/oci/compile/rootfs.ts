import { posix } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { invalidParameter } from "../../lib/errors.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { mapText, rootOf } from "../../lib/user-maps.ts";
import { commonFolder } from "../../sys/user-namespace.ts";
import type { ChildOp } from "../plan/types.ts";

/** The op that makes the new root, and whether it becomes read-only at the end. */
export function rootOps(spec: OciSpec, options: { rootfs?: RootfsMount[]; bundle?: string }): { ops: ChildOp[]; readonly: boolean } {
  const [mount, ...more] = options.rootfs ?? [];
  if (more.length > 0) throw invalidParameter("a root file system of more than one mount is not supported");
  const readonly = spec.root?.readonly ?? false;
  if (mount === undefined) return { ops: [{ op: "rootBind", source: bundleRoot(spec, options.bundle) }], readonly };
  const { maps } = mount;
  const texts = maps && { uid: mapText(maps.uids), gid: mapText(maps.gids) };
  if (mount.type === "bind") return { ops: [{ op: "rootBind", source: mount.source, ...(texts && { idmap: texts }) }], readonly: readonly || mount.readonly };
  const { lower, upper, work } = mount;
  const idmap = maps && texts && { ...texts, folder: commonFolder([...lower, upper, work]), root: rootOf(maps) };
  return { ops: [{ op: "rootOverlay", lower, upper, work, options: mount.options.map(overlayOption), ...(idmap && { idmap }) }], readonly };
}

function bundleRoot({ root }: OciSpec, bundle: string | undefined): string {
  if (root?.path === undefined || root.path === "") throw invalidParameter("root.path is missing");
  if (root.path.includes("\0")) throw invalidParameter("root.path contains NUL");
  if (!root.path.startsWith("/") && bundle === undefined) throw invalidParameter(`root.path ${JSON.stringify(root.path)} is not an absolute path`);
  return posix.resolve(bundle ?? "/", root.path);
}

function overlayOption(option: string): [string, string | null] {
  const equals = option.indexOf("=");
  return equals === -1 ? [option, null] : [option.slice(0, equals), option.slice(equals + 1)];
}
