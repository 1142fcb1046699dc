import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { GantryError } from "../lib/errors.ts";
import { decompressed } from "./decompress.ts";

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of decompressed(bytes)) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

const plain = Buffer.concat([randomBytes(300_000), Buffer.alloc(2_000_000, "zeros")]);
const missing = (program: string): string | false => (spawnSync(program, ["--version"], { stdio: "ignore" }).error ? `no ${program} here` : false);

test("what is neither bzip2 nor xz passes as it is, however short", async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from("B"), Buffer.from("BZh"), Buffer.from("BZx1"), gzipSync("x"), plain]) for (const size of [1 << 20, 3]) if (bytes.length < 1000 || size > 3) assert.ok((await all(inPieces(bytes, size))).equals(bytes));
});

for (const program of ["xz", "bzip2"]) {
  test(`${program}: inflated, in any pieces, also several streams in one`, { skip: missing(program) }, async () => {
    const bytes = execFileSync(program, ["-c"], { input: plain, maxBuffer: 1 << 30 });
    for (const size of [1 << 20, 777]) assert.ok((await all(inPieces(bytes, size))).equals(plain));
    assert.ok((await all(inPieces(Buffer.concat([bytes, bytes]), 1 << 16))).equals(Buffer.concat([plain, plain])));
  });

  test(`${program}: damaged, cut off, left early, and a source that fails`, { skip: missing(program) }, async () => {
    const bytes = execFileSync(program, ["-c"], { input: plain, maxBuffer: 1 << 30 });
    const invalid = (error: unknown): boolean => error instanceof GantryError && error.code === "system" && error.message.startsWith(`invalid ${program} data: `);
    await assert.rejects(all(inPieces(bytes.subarray(0, bytes.length >> 1), 4096)), invalid);
    await assert.rejects(all(inPieces(Buffer.from(bytes).fill(0x55, 1000, 2000), 4096)), invalid);
    await assert.rejects(all(inPieces(Buffer.concat([bytes.subarray(0, 12), randomBytes(5_000_000)]), 4096)), invalid);
    let isEnded = false;
    const endless = async function* (): AsyncGenerator<Buffer> {
      try {
        for (;;) yield bytes;
      } finally {
        isEnded = true;
      }
    };
    for await (const _ of decompressed(endless())) break;
    assert.ok(isEnded);
    const failing = async function* (): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 2000);
      throw new Error("the client has gone");
    };
    await assert.rejects(all(failing()), /the client has gone/);
  });

  test(`${program}: a machine without the program`, async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = "/nowhere";
    try {
      const head = program === "xz" ? Buffer.from("\xfd7zXZ\0rest", "latin1") : Buffer.from("BZh91AY&SY");
      await assert.rejects(all(inPieces(head, 100)), { code: "system", message: `exec: "${program}": executable file not found in $PATH: archives in its compression cannot be read without it` });
    } finally {
      process.env["PATH"] = path;
    }
  });
}
