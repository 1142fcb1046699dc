/** One request to criu, which talks by a message socket ("criu swrk FD") and ends with it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { messageOf, notImplemented, systemError, unavailable } from "../../lib/errors.ts";
import { Seqpacket, socketPair } from "../../sys/seqpacket.ts";
import type { CriuAnswer, CriuOptions } from "./message.ts";
import { decodeAnswer, encodeNotified, encodeRequest, request } from "./message.ts";

export interface CriuRequest {
  type: number;
  options?: CriuOptions;
}

/** What criu tells on its way, which it waits for. The fds belong to the receiver. */
export type Notified = (script: string, pid: number, fds: number[]) => Promise<void> | void;

/** External pid namespaces came with 3.15, what restore needs for security labels with 3.16. */
const leastVersion = 31_600;

/** A criu for this request alone. */
export async function callCriu(asked: CriuRequest, notified?: Notified): Promise<CriuAnswer> {
  const [ours, theirs] = socketPair("seqpacket");
  const criu = spawn("criu", ["swrk", "3"], { stdio: ["ignore", "ignore", "ignore", theirs] });
  const ended = once(criu, "exit");
  ended.catch(() => {});
  try {
    await once(criu, "spawn");
  } catch (error) {
    closeSync(ours);
    throw unavailable(`checkpoint and restore need the program criu, ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "which is not in PATH" : `which cannot be started: ${messageOf(error)}`} (Debian: apt-get install criu)`, error);
  } finally {
    closeSync(theirs);
  }
  try {
    return await converse(ours, asked, notified);
  } finally {
    await ended;
  }
}

/** Until the answer that is no notice; takes the socket over. */
export function converse(fd: number, { type, options }: CriuRequest, notified?: Notified): Promise<CriuAnswer> {
  return new Promise((resolve, reject) => {
    const finish = (act: () => void): void => {
      socket.close();
      act();
    };
    const take = async (bytes: Buffer, fds: number[]): Promise<void> => {
      const answer = decodeAnswer(bytes);
      if (!answer.success) throw systemError(`criu failed: ${nameOf(type)}${answer.errno === 0 ? "" : `, errno ${answer.errno}`}`);
      if (answer.type !== request.notify) return finish(() => resolve(answer));
      await notified?.(answer.notify?.script ?? "", answer.notify?.pid ?? 0, fds);
      await socket.send(encodeNotified());
    };
    const fail = (error: unknown): void => finish(() => reject(error));
    const socket = new Seqpacket(fd, {
      message: (bytes, fds) => void take(bytes, fds).catch(fail),
      end: () => reject(systemError(`criu ended without an answer: ${nameOf(type)}`)),
    });
    socket.send(encodeRequest(type, options)).catch(fail);
  });
}

const nameOf = (type: number): string => Object.entries(request).find(([, value]) => value === type)?.[0] ?? String(type);

/** Throws unless criu is there and new enough. */
export async function requireCriu(): Promise<void> {
  const { version = 0 } = await callCriu({ type: request.version });
  if (version < leastVersion) throw notImplemented(`criu ${textOfVersion(version)} is too old: checkpoint and restore need ${textOfVersion(leastVersion)} or a newer one`);
}

const textOfVersion = (version: number): string => `${Math.floor(version / 10_000)}.${Math.floor(version / 100) % 100}`;

/** Throws unless criu and the kernel can do it. */
export async function requireFeature(feature: "memoryTracking" | "lazyPages"): Promise<void> {
  const { features } = await callCriu({ type: request.featureCheck });
  if (features?.[feature] !== true) throw notImplemented(refusals[feature]);
}

const refusals = {
  memoryTracking: "--pre-dump and --parent-path: this kernel does not track which memory changes (criu check --feature mem_dirty_track)",
  lazyPages: "--lazy-pages: this kernel has no userfaultfd that criu can use (criu check --feature uffd-noncoop)",
};
