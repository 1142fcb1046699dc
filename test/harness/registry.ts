/** Debian's docker-registry with images that are written into its storage before it starts. */
import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { eventually } from "../../src/lib/eventually.testing.ts";
import type { Machine } from "./machine.ts";
import { type Digest, digestOf, hexOf } from "../../src/lib/digest.ts";
import { tarEnd, tarHeader, tarPadding } from "../../src/lib/tar-header.ts";

export const registryName = "127.0.0.1:5000";

/** The storage of a registry: one folder, which several may serve at once. */
export class RegistryStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The files of the layers' blobs. */
  add(name: string, layers: readonly (Buffer | PackedLayer)[], config: object = {}): string[] {
    const blobs = layers.map((layer) => describe(Buffer.isBuffer(layer) ? packed([layer]) : layer));
    const document = Buffer.from(JSON.stringify({ architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux", config, rootfs: { type: "layers", diff_ids: blobs.map(({ diffId }) => diffId) }, history: blobs.map(() => ({ created_by: "bench" })) }));
    const prefix = "application/vnd.docker";
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${prefix}.distribution.manifest.v2+json`,
        config: { mediaType: `${prefix}.container.image.v1+json`, digest: digestOf(document), size: document.length },
        layers: blobs.map(({ digest, size }) => ({ mediaType: `${prefix}.image.rootfs.diff.tar.gzip`, digest, size })),
      }),
    );
    for (const bytes of [document, manifest]) this.#write(this.#blob(digestOf(bytes)), [bytes]);
    for (const { digest, parts } of blobs) this.#write(this.#blob(digest), parts);
    const revision = digestOf(manifest);
    for (const digest of [digestOf(document), ...blobs.map((blob) => blob.digest)]) this.#link(name, `_layers/sha256/${hexOf(digest)}`, digest);
    for (const place of [`_manifests/revisions/sha256/${hexOf(revision)}`, "_manifests/tags/1/current", `_manifests/tags/1/index/sha256/${hexOf(revision)}`]) this.#link(name, place, revision);
    return blobs.map(({ digest }) => this.#blob(digest));
  }

  /** Serves it inside a machine; resolves when it answers there. Gives what ends it. */
  async serve(machine: Machine, address = registryName): Promise<() => void> {
    const config = join(machine.folder, `registry-${address.replace(/.*:/, "")}.yml`);
    writeFileSync(config, `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${this.folder}}}\nhttp: {addr: "${address}"}\n`);
    machine.spawn(["docker-registry", "serve", config], { stdio: "ignore" });
    await eventually(() => machine.run("busybox", "wget", "-q", "-O", "/dev/null", `http://${address}/v2/`));
    return () => void machine.run("sh", "-c", "kill $(pidof docker-registry)");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #blob(digest: Digest): string {
    return join(this.folder, "docker/registry/v2/blobs/sha256", hexOf(digest).slice(0, 2), hexOf(digest), "data");
  }

  #link(name: string, place: string, digest: Digest): void {
    this.#write(join(this.folder, "docker/registry/v2/repositories", name, place, "link"), [Buffer.from(digest)]);
  }

  #write(path: string, parts: readonly Uint8Array[]): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "");
    for (const part of parts) appendFileSync(path, part);
  }
}

/** A layer as its blob is stored: gzip members one after the other. The same part may be there many times. */
export interface PackedLayer {
  diffId: Digest;
  parts: readonly Buffer[];
}

/** Each different part is compressed once. */
export function packed(plain: readonly Buffer[]): PackedLayer {
  const members = new Map<Buffer, Buffer>();
  for (const part of plain) if (!members.has(part)) members.set(part, gzipSync(part, { level: 6 }));
  return { diffId: digestOfParts(plain), parts: plain.map((part) => members.get(part) ?? part) };
}

const describe = ({ diffId, parts }: PackedLayer): PackedLayer & { digest: Digest; size: number } => ({ diffId, parts, digest: digestOfParts(parts), size: parts.reduce((sum, { length }) => sum + length, 0) });

function digestOfParts(parts: readonly Uint8Array[]): Digest {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return `sha256:${hash.digest("hex")}`;
}

/** A layer of so many files, of some hundred bytes to four times the mean; a third of it compresses away. */
export function layerOf(prefix: string, { files, mean }: { files: number; mean: number }): Buffer {
  const { randomFillSync } = process.getBuiltinModule("node:crypto");
  const parts: Uint8Array[] = [tarHeader({ name: `${prefix}/`, size: 0, mode: 0o755, mtime: 0 })];
  for (let at = 0; at < files; at++) {
    const size = Math.floor(mean * 4 * ((at * 7919) % files / files) ** 3) + 800;
    const bytes = Buffer.alloc(size, "configuration of a program and its documentation, line by line\n");
    for (let from = 0; from < size; from += 300) randomFillSync(bytes, from, Math.min(190, size - from));
    parts.push(tarHeader({ name: `${prefix}/file-${at}`, size, mode: 0o644, mtime: 0 }), bytes, tarPadding(size));
  }
  return Buffer.concat([...parts, tarEnd()]);
}
