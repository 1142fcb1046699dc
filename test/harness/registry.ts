/** Debian's docker-registry with images that are written into its storage before it starts. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
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
  add(name: string, layers: readonly Buffer[], config: object = {}): string[] {
    const blobs = layers.map((tar) => ({ diffId: digestOf(tar), bytes: gzipSync(tar, { level: 6 }) }));
    const document = Buffer.from(JSON.stringify({ architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux", config, rootfs: { type: "layers", diff_ids: blobs.map(({ diffId }) => diffId) }, history: blobs.map(() => ({ created_by: "bench" })) }));
    const prefix = "application/vnd.docker";
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${prefix}.distribution.manifest.v2+json`,
        config: { mediaType: `${prefix}.container.image.v1+json`, digest: digestOf(document), size: document.length },
        layers: blobs.map(({ bytes }) => ({ mediaType: `${prefix}.image.rootfs.diff.tar.gzip`, digest: digestOf(bytes), size: bytes.length })),
      }),
    );
    for (const bytes of [document, manifest, ...blobs.map((blob) => blob.bytes)]) this.#write(this.#blob(digestOf(bytes)), bytes);
    const revision = digestOf(manifest);
    for (const bytes of [document, ...blobs.map((blob) => blob.bytes)]) this.#link(name, `_layers/sha256/${hexOf(digestOf(bytes))}`, digestOf(bytes));
    for (const place of [`_manifests/revisions/sha256/${hexOf(revision)}`, "_manifests/tags/1/current", `_manifests/tags/1/index/sha256/${hexOf(revision)}`]) this.#link(name, place, revision);
    return blobs.map(({ bytes }) => this.#blob(digestOf(bytes)));
  }

  /** Serves it inside a machine; resolves when it answers there. Gives what ends it. */
  async serve(machine: Machine, address = registryName): Promise<() => void> {
    const config = join(machine.folder, `registry-${address.replace(/.*:/, "")}.yml`);
    writeFileSync(config, `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${this.folder}}}\nhttp: {addr: "${address}"}\n`);
    machine.spawn(["docker-registry", "serve", config], { stdio: "ignore" });
    for (const end = Date.now() + 10_000; ; await delay(50)) {
      try {
        machine.run("busybox", "wget", "-q", "-O", "/dev/null", `http://${address}/v2/`);
        return () => void machine.run("sh", "-c", "kill $(pidof docker-registry)");
      } catch (thrown) {
        if (Date.now() > end) throw thrown;
      }
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #blob(digest: Digest): string {
    return join(this.folder, "docker/registry/v2/blobs/sha256", hexOf(digest).slice(0, 2), hexOf(digest), "data");
  }

  #link(name: string, place: string, digest: Digest): void {
    this.#write(join(this.folder, "docker/registry/v2/repositories", name, place, "link"), digest);
  }

  #write(path: string, bytes: Buffer | string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
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
