/** The same image in each process: two layers behind an index. */
import { createHash } from "node:crypto";
import { parseReference } from "../../src/lib/reference.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import type { ImageBench } from "./bench.ts";
import type { FakeRegistry } from "./fake-registry.ts";

/** Bytes that no compression and no chance makes the same. */
function noise(seed: number, bytes: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at * 32 < bytes; at++) parts.push(createHash("sha256").update(`${seed} ${at}`).digest());
  return Buffer.concat(parts);
}

const layers = [0, 1].map((at) => tarOf({ name: `layer-${at}/`, type: "5" }, { name: `layer-${at}/file`, data: noise(at, 400_000).toString("latin1") }));
export const size = layers.reduce((sum, { length }) => sum + length, 0);

export async function pullOnce({ images }: ImageBench, registry: FakeRegistry): Promise<void> {
  const image = registry.addImage(layers.map((bytes) => ({ bytes })));
  registry.tag("1", registry.addIndex([{ ...image, platform: { os: "linux", architecture: "amd64" } }]));
  await pullTag({ images }, "1");
}

/** r.test/x of that tag. */
export async function pullTag({ images }: Pick<ImageBench, "images">, tag: string): Promise<void> {
  await images.pull({ reference: parseReference(`r.test/x:${tag}`), platform: undefined, access: {}, signal: new AbortController().signal, report: () => undefined });
}
