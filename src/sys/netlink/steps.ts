/**
 * What is done in one go on one thread of the pool, because going there and back costs more than most changes: making a
 * namespace, sysctls and rtnetlink changes in several namespaces. The first failure ends it.
 */
import { closeSync } from "node:fs";
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { systemError } from "../../lib/errors.ts";
import { mapText, type UserMaps } from "../../lib/user-maps.ts";
import { addon } from "../addon.ts";
import { parseMessages } from "./message.ts";
import { encodeRouteChange } from "./rtnetlink.ts";
import type { RouteChange } from "./rtnetlink.ts";
import { answersTo, encodeRequests } from "./socket.ts";

const native = addon as { networkSteps(steps: [kind: number, netns: number, data: Uint8Array][]): Promise<Buffer> };

/** Instead of a namespace's fd: the process's own, and the one that an earlier step made. */
export const OWN_NAMESPACE = -1;
export const NEW_NAMESPACE = -2;

export interface Sysctl {
  /** Below /proc/sys, with slashes: "net/ipv4/ip_forward". */
  name: string;
  /** "" reads. */
  value: string;
  /** No error where the kernel has no such sysctl. */
  optional?: boolean;
}

/** The user namespace that a network namespace belongs to: a new one with these maps, or that of an fd. Otherwise this process's. */
export type NamespaceOwner = UserMaps | number;

export type NetworkStep =
  /** At most one. */
  | { op: "namespace"; owner?: NamespaceOwner | undefined }
  | { op: "sysctls"; in: number; sysctls: readonly Sysctl[] }
  | { op: "route"; in: number; changes: readonly RouteChange[] };

export interface StepsResult {
  /** Of the namespace that was made, now the caller's; -1 when none was asked for. */
  netns: number;
  /** What was read, in the order of all sysctls; undefined where there is none. */
  sysctls: (string | undefined)[];
}

/** Throws what the first failed step says; a namespace that was made is closed then. */
export async function runSteps(steps: readonly NetworkStep[]): Promise<StepsResult> {
  let answer: Buffer;
  try {
    answer = await native.networkSteps(steps.map(encodeStep));
  } catch (cause) {
    throw systemError(`cannot change the network: ${(cause as Error).message}`, cause);
  }
  const netns = answer.readInt32LE(0);
  try {
    return { netns, sysctls: readReplies(steps, answer) };
  } catch (error) {
    if (netns >= 0) closeSync(netns);
    throw error;
  }
}

const KIND = { namespace: 0, sysctls: 1, route: 2 } as const;

function ownedBy(owner: NamespaceOwner | undefined): [kind: number, userns: number, maps: Uint8Array] {
  if (typeof owner === "number") return [KIND.namespace, owner, Buffer.alloc(0)];
  return [KIND.namespace, OWN_NAMESPACE, Buffer.from(owner ? `${mapText(owner.uids)}\0${mapText(owner.gids)}\0` : "")];
}

function encodeStep(step: NetworkStep): [kind: number, netns: number, data: Uint8Array] {
  switch (step.op) {
    case "namespace":
      return ownedBy(step.owner);
    case "sysctls":
      return [KIND.sysctls, step.in, Buffer.from(step.sysctls.map(({ name, value }) => `${name}\0${value}\0`).join(""))];
    case "route":
      return [KIND.route, step.in, encodeRequests(step.changes.map(encodeRouteChange))];
  }
}

function readReplies(steps: readonly NetworkStep[], answer: Buffer): (string | undefined)[] {
  const read: (string | undefined)[] = [];
  let at = 4;
  for (const step of steps) {
    const reply = answer.subarray(at + 4, at + 4 + answer.readUInt32LE(at));
    at += 4 + reply.length;
    if (step.op === "route") answersTo(step.changes.map(encodeRouteChange), parseMessages(reply));
    if (step.op === "sysctls") read.push(...readSysctls(step.sysctls, reply));
  }
  return read;
}

function* readSysctls(sysctls: readonly Sysctl[], reply: Buffer): Generator<string | undefined> {
  let at = 0;
  for (const { name, value, optional } of sysctls) {
    const errno = reply.readInt32LE(at);
    const length = reply.readUInt32LE(at + 4);
    if (errno !== 0 && value !== "" && !(optional && errno === constants.errno.ENOENT)) throw systemError(`cannot set the sysctl ${name} to ${JSON.stringify(value)}: ${getSystemErrorName(-errno)}`);
    yield errno === 0 ? reply.toString("utf8", at + 8, at + 8 + length).trim() : undefined;
    at += 8 + length;
  }
}
