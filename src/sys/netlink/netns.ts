/** Network namespaces as file descriptors, and sysctls inside them. */
import { closeSync, constants, openSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { systemError } from "../../lib/errors.ts";
import { addon } from "../addon.ts";

const native = addon as {
  netnsCreate(): Promise<number>;
  netnsSysctl(netns: number, pairs: Uint8Array): Promise<Buffer>;
};

/** An open network namespace. It lives until the last descriptor is closed and the last process in it has ended. */
export class Netns implements Disposable {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** A new, empty one; only its own descriptor keeps it. */
  static async create(): Promise<Netns> {
    try {
      return new Netns(await native.netnsCreate());
    } catch (cause) {
      throw systemError(`cannot make a network namespace: ${(cause as Error).message}`, cause);
    }
  }

  /** The one at `path`, such as /proc/PID/ns/net. */
  static open(path: string): Netns {
    try {
      return new Netns(openSync(path, constants.O_RDONLY));
    } catch (cause) {
      throw systemError(`cannot open the network namespace ${path}: ${(cause as Error).message}`, cause);
    }
  }

  get fd(): number {
    if (this.#fd < 0) throw systemError("the network namespace is closed");
    return this.#fd;
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export interface Sysctl {
  /** Below /proc/sys, with slashes: "net/ipv4/ip_forward". */
  name: string;
  value: string;
  /** Absent features are no error. */
  optional?: boolean;
}

/** Writes in order; -1 is the process's own namespace. Throws for the first that failed, after trying all. */
export async function writeSysctls(netns: number, sysctls: readonly Sysctl[]): Promise<void> {
  const results = await sysctlCall(netns, sysctls.map(({ name, value }) => [name, value]));
  for (const [index, { errno }] of results.entries()) {
    const { name, value, optional } = sysctls[index]!;
    if (errno !== 0 && !optional) throw systemError(`cannot set the sysctl ${name} to ${JSON.stringify(value)}: ${getSystemErrorName(-errno)}`);
  }
}

/** The trimmed values; undefined where there is none. */
export async function readSysctls(netns: number, names: readonly string[]): Promise<(string | undefined)[]> {
  const results = await sysctlCall(netns, names.map((name) => [name, ""]));
  return results.map(({ errno, text }) => (errno === 0 ? text.trim() : undefined));
}

async function sysctlCall(netns: number, pairs: [name: string, value: string][]): Promise<{ errno: number; text: string }[]> {
  const answer = await native.netnsSysctl(netns, Buffer.from(pairs.map(([name, value]) => `${name}\0${value}\0`).join("")));
  const results: { errno: number; text: string }[] = [];
  for (let at = 0; at + 8 <= answer.length; ) {
    const length = answer.readUInt32LE(at + 4);
    results.push({ errno: answer.readInt32LE(at), text: answer.toString("utf8", at + 8, at + 8 + length) });
    at += 8 + length;
  }
  return results;
}
