/**
 * Compiles the greeting and wraps it as an image archive: node scripts/hello-image.ts SOURCE.c OUT.tar
 *
 * The archive is an OCI image layout and a docker-archive at once, as `docker save` writes it: index.json and oci-layout
 * for the one, manifest.json for the other, blobs shared. The same compiler gives the same bytes.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const name = "docker.io/library/hello-world:latest";
const created = "2026-11-01T00:00:00Z";
const block = 512;

interface TarEntry {
  path: string;
  data?: Buffer;
  mode: number;
}

const [source, out] = process.argv.slice(2);
if (source === undefined || out === undefined) throw new Error("usage: hello-image.ts SOURCE.c OUT.tar");
mkdirSync(dirname(out), { recursive: true });
writeFileSync(`${out}.new`, archive(compile(source, dirname(out))));
renameSync(`${out}.new`, out);

/** A static program without a C library, headers or build id. */
function compile(path: string, parent: string): Buffer {
  const folder = mkdtempSync(join(parent, "hello-"));
  try {
    const program = join(folder, "hello");
    const flags = ["-std=gnu17", "-Os", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fno-pie", "-no-pie", "-s"];
    execFileSync("cc", [...flags, "-Wl,--build-id=none,-z,norelro,-z,noseparate-code", "-o", program, path], { stdio: ["ignore", "inherit", "inherit"] });
    return readFileSync(program);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function archive(program: Buffer): Buffer {
  const layer = tar([{ path: "hello", data: program, mode: 0o755 }]);
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const config = json({
    architecture,
    config: { Cmd: ["/hello"], Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], WorkingDir: "/" },
    created,
    history: [
      { created, created_by: "COPY hello / # gantry" },
      { created, created_by: 'CMD ["/hello"]', empty_layer: true },
    ],
    os: "linux",
    rootfs: { diff_ids: [digest(layer)], type: "layers" },
  });
  const manifest = json({
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    schemaVersion: 2,
  });
  const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "latest" };
  const platform = { architecture, os: "linux" };
  const index = json({
    manifests: [{ ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest), annotations, platform }],
    mediaType: "application/vnd.oci.image.index.v1+json",
    schemaVersion: 2,
  });
  const blobs = [config, layer, manifest].map((data) => ({ path: blobPath(data), data, mode: 0o444 }));
  blobs.sort((a, b) => (a.path < b.path ? -1 : 1));
  return tar([
    { path: "blobs/", mode: 0o755 },
    { path: "blobs/sha256/", mode: 0o755 },
    ...blobs,
    { path: "index.json", data: index, mode: 0o444 },
    { path: "manifest.json", data: json([{ Config: blobPath(config), Layers: [blobPath(layer)], RepoTags: ["hello-world:latest"] }]), mode: 0o444 },
    { path: "oci-layout", data: json({ imageLayoutVersion: "1.0.0" }), mode: 0o444 },
  ]);
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function digest(data: Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

function blobPath(data: Buffer): string {
  return `blobs/${digest(data).replace(":", "/")}`;
}

function descriptor(mediaType: string, data: Buffer): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: digest(data), size: data.length };
}

/** POSIX ustar, owned by root, with one fixed time. */
function tar(entries: TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const data = entry.data ?? Buffer.alloc(0);
    parts.push(header(entry, data.length), data, Buffer.alloc((block - (data.length % block)) % block));
  }
  parts.push(Buffer.alloc(2 * block));
  return Buffer.concat(parts);
}

function header(entry: TarEntry, size: number): Buffer {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, offset: number, length: number): number => bytes.write(value.toString(8).padStart(length - 1, "0"), offset, "latin1");
  bytes.write(entry.path, 0, "latin1");
  octal(entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(Date.parse(created) / 1000, 136, 12);
  bytes.write("        ", 148, "latin1");
  bytes.write(entry.data === undefined ? "5" : "0", 156, "latin1");
  bytes.write("ustar\x0000", 257, "latin1");
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}
