import assert from "node:assert/strict";
import { test } from "node:test";
import { goMode, wholePath } from "./archive.ts";

test("paths are made whole with the end that says what is meant", () => {
  const cases: Record<string, string> = { "/w": "/w", "/w/": "/w/", "/w/.": "/w/.", "w/f": "/w/f", "/": "/", ".": "/.", "/../../etc/passwd": "/etc/passwd", "//a//b/": "/a/b/", "/a/./b": "/a/b" };
  for (const [path, whole] of Object.entries(cases)) assert.equal(wholePath(path), whole, path);
});

test("modes have the bits of Go's os.FileMode", () => {
  const mode = (kind: Parameters<typeof goMode>[0]["kind"], permissions: number): number => goMode({ kind, permissions, size: 0, modified: 0n });
  assert.equal(mode("file", 0o640), 416);
  assert.equal(mode("link", 0o777), 134218239);
  assert.equal(mode("folder", 0o755), 2147484141);
  assert.equal(mode("folder", 0o1777), 2 ** 31 + 2 ** 20 + 0o777);
  assert.equal(mode("file", 0o6755), 2 ** 23 + 2 ** 22 + 0o755);
  assert.equal(mode("character-device", 0o666), 2 ** 26 + 2 ** 21 + 0o666);
});
