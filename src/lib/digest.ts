/** Digests (image-spec, descriptor.md). Only sha256 is accepted: it is what every registry and builder uses. */
import { invalidParameter } from "./errors.ts";

/** "sha256:" and 64 lower-case hexadecimal digits. */
export type Digest = `sha256:${string}`;

const wellFormed = /^sha256:[0-9a-f]{64}$/;

export const isDigest = (text: string): text is Digest => wellFormed.test(text);

/** Throws invalid-parameter for anything but a sha256 digest. */
export function parseDigest(text: unknown): Digest {
  if (typeof text === "string" && isDigest(text)) return text;
  throw invalidParameter(`invalid digest ${JSON.stringify(typeof text === "string" ? text.slice(0, 100) : text)}: expected sha256 and 64 hexadecimal digits`);
}

/* Taken when it is needed: node:crypto costs the client 4 ms of its start. */
export const digestOf = (bytes: Uint8Array | string): Digest => `sha256:${process.getBuiltinModule("node:crypto").createHash("sha256").update(bytes).digest("hex")}`;

/** The digits without the algorithm. */
export const hexOf = (digest: Digest): string => digest.slice(7);

/** Identifies a stack of layers by their diffIDs, bottom first (image-spec, config.md, "Layer ChainID"). */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`));
  }
  return chain;
}
