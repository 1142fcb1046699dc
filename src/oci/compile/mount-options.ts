/** Mount options of an OCI configuration (runtime-spec, "Linux mount options") as flags, attributes and file system data. */
import { invalidParameter } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { MountAttributes, Propagation } from "../plan/types.ts";

export interface MountOptions {
  bind: "none" | "bind" | "rbind";
  attributes: MountAttributes;
  propagation: { type: Propagation; recursive: boolean }[];
  /** Some option is about attributes of the mount alone, not of those below. */
  said: boolean;
  /** Among them one of the access time, other than a return to the default. */
  setsAccessTime: boolean;
  copyUp: boolean;
  idmap: "none" | "idmap" | "ridmap";
  /** For the file system: a key with its value, or a flag with null. */
  data: [key: string, value: string | null][];
  /** Options of the superblock, with fsconfig's own names. */
  superblock: [key: string, value: null][];
}

/** include/uapi/linux/mount.h */
export const attribute = { readonly: 0x1n, nosuid: 0x2n, nodev: 0x4n, noexec: 0x8n, atimeMask: 0x70n, noatime: 0x10n, strictatime: 0x20n, nodiratime: 0x80n, idmap: 0x100000n, nosymfollow: 0x200000n };

interface AttributeChange {
  set: bigint;
  clear: bigint;
}

const turnOn = (bit: bigint): AttributeChange => ({ set: bit, clear: 0n });
const turnOff = (bit: bigint): AttributeChange => ({ set: 0n, clear: bit });
/** The access time modes are one field of three bits: mount_setattr(2) wants it cleared as a whole. */
const atime = (value: bigint): AttributeChange => ({ set: value, clear: attribute.atimeMask });

const attributeOptions: Record<string, AttributeChange> = {
  ro: turnOn(attribute.readonly),
  rw: turnOff(attribute.readonly),
  nosuid: turnOn(attribute.nosuid),
  suid: turnOff(attribute.nosuid),
  nodev: turnOn(attribute.nodev),
  dev: turnOff(attribute.nodev),
  noexec: turnOn(attribute.noexec),
  exec: turnOff(attribute.noexec),
  nodiratime: turnOn(attribute.nodiratime),
  diratime: turnOff(attribute.nodiratime),
  nosymfollow: turnOn(attribute.nosymfollow),
  symfollow: turnOff(attribute.nosymfollow),
  relatime: atime(0n),
  noatime: atime(attribute.noatime),
  strictatime: atime(attribute.strictatime),
  atime: atime(0n),
  nostrictatime: atime(0n),
  /** relatime is the kernel's default and has no bit of its own, so its opposite changes nothing. */
  norelatime: { set: 0n, clear: 0n },
};

/** As with mount(8), the others of the access time leave a bind mount's as it is. */
const accessTimeOptions = new Set(["noatime", "relatime", "strictatime", "nodiratime"]);

const propagations: Record<string, Propagation> = { private: "private", slave: "slave", shared: "shared", unbindable: "unbindable" };

/** fsconfig(2) flags of the superblock. */
const superblockFlags = new Set(["sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"]);

/** Defaults of a new mount, and options of mount(8) that concern only messages. */
const withoutEffect = new Set(["", "defaults", "loud", "silent", "noiversion"]);

/** Options that the specification knows and that this runtime does not do. */
const refused: Record<string, string> = { remount: "a container's mounts are new, there is nothing to remount", iversion: "not supported", tmpcopyup: "only a tmpfs can be filled from what it covers" };

/** Every option that is the runtime's to carry out, sorted: others are the file system's. */
export function knownMountOptions(): string[] {
  const attributes = Object.keys(attributeOptions);
  const propagated = Object.keys(propagations).flatMap((name) => [name, `r${name}`]);
  return ["bind", "rbind", "idmap", "ridmap", "tmpcopyup", ...attributes, ...attributes.map((name) => `r${name}`), ...propagated, ...superblockFlags, ...withoutEffect].filter(Boolean).toSorted();
}

/** The propagation that `linux.rootfsPropagation` or a mount option names; undefined when it is none. */
export function parsePropagation(name: string): { type: Propagation; recursive: boolean } | undefined {
  const plain = lookup(propagations, name);
  if (plain !== undefined) return { type: plain, recursive: false };
  const recursive = name.startsWith("r") ? lookup(propagations, name.slice(1)) : undefined;
  return recursive && { type: recursive, recursive: true };
}

export function parseMountOptions(options: readonly string[], where: string, fstype: string | undefined): MountOptions {
  const parsed: MountOptions = { bind: "none", attributes: { set: 0n, clear: 0n, recursiveSet: 0n, recursiveClear: 0n }, propagation: [], said: false, setsAccessTime: false, copyUp: false, idmap: "none", data: [], superblock: [] };
  for (const option of options) {
    if (option.includes("\0")) throw invalidParameter(`${where}: option ${JSON.stringify(option)} contains NUL`);
    if (!parseOption(parsed, option, fstype)) parseData(parsed, option, where);
  }
  return parsed;
}

/** False when the option is the file system's own. */
function parseOption(parsed: MountOptions, option: string, fstype: string | undefined): boolean {
  if (withoutEffect.has(option)) return true;
  if (option === "bind" || option === "rbind") parsed.bind = option;
  else if (option === "idmap" || option === "ridmap") parsed.idmap = option;
  else if (option === "tmpcopyup" && fstype === "tmpfs") parsed.copyUp = true;
  else {
    const propagation = parsePropagation(option);
    const change = lookup(attributeOptions, option);
    const recursiveChange = option.startsWith("r") ? lookup(attributeOptions, option.slice(1)) : undefined;
    if (propagation !== undefined) parsed.propagation.push(propagation);
    else if (change !== undefined) {
      changeAttributes(parsed.attributes, change, false);
      parsed.said = true;
      parsed.setsAccessTime ||= accessTimeOptions.has(option);
    }
    else if (recursiveChange !== undefined) changeAttributes(parsed.attributes, recursiveChange, true);
    else if (superblockFlags.has(option)) parsed.superblock.push([option, null]);
    else return false;
  }
  return true;
}

/** The last of two contradicting options wins. */
function changeAttributes(attributes: MountAttributes, { set, clear }: AttributeChange, recursive: boolean): void {
  const [setKey, clearKey] = recursive ? (["recursiveSet", "recursiveClear"] as const) : (["set", "clear"] as const);
  attributes[setKey] = (attributes[setKey] & ~clear) | set;
  attributes[clearKey] = (attributes[clearKey] & ~set) | clear | (attributes[clearKey] & attribute.atimeMask);
}

function parseData(parsed: MountOptions, option: string, where: string): void {
  const why = lookup(refused, option);
  if (why !== undefined) throw invalidParameter(`${where}: option "${option}": ${why}`);
  const equals = option.indexOf("=");
  parsed.data.push(equals === -1 ? [option, null] : [option.slice(0, equals), option.slice(equals + 1)]);
}
