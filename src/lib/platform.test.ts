import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPlatform, parsePlatform, platformDistance } from "./platform.ts";

const host = { os: "linux", architecture: "amd64" };
const parsed = (text: string): string => formatPlatform(parsePlatform(text, host));

test("specifiers, with this machine's parts for those left out", () => {
  for (const [text, normal] of [
    ["linux", "linux/amd64"],
    ["arm64", "linux/arm64"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64/v8"],
    ["linux/armhf", "linux/arm/v7"],
    ["Linux/X86_64/V3", "linux/amd64/v3"],
    ["windows/amd64", "windows/amd64"],
  ] as const) {
    assert.equal(parsed(text), normal, text);
  }
});

test("malformed ones are refused in containerd's words", () => {
  for (const [text, message] of [
    ["nosuch", '"nosuch": unknown operating system or architecture: invalid argument'],
    ["a/b/c/d", '"a/b/c/d": cannot parse platform specifier: invalid argument'],
    ["linux/*", '"linux/*": wildcards not yet supported: invalid argument'],
    ["/amd64", String.raw`"" is an invalid OS component of "/amd64": OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$": invalid argument`],
    ["bad!", '"bad!" is an invalid OS component of "bad!": OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.%-]*)((?:\\\\+[A-Za-z0-9_.%-]+)*)\\\\))?$": invalid argument'],
    ["linux/", '"" is an invalid component of "linux/": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument'],
  ] as const) {
    assert.throws(() => parsed(text), { code: "invalid-parameter", message });
  }
});

test("what runs where: exact first, then older variants", () => {
  const distance = (asked: string, image: string) => platformDistance(parsePlatform(asked, host), parsePlatform(image, host));
  assert.deepEqual([distance("linux/amd64", "linux/amd64"), distance("linux/amd64", "linux/386"), distance("linux/386", "linux/amd64")], [0, 1, undefined]);
  assert.deepEqual([distance("linux/arm64", "linux/arm/v6"), distance("linux/arm/v6", "linux/arm/v7"), distance("linux/amd64", "linux/arm64")], [2, undefined, undefined]);
  assert.deepEqual([distance("linux/s390x", "linux/s390x"), distance("windows/amd64", "linux/amd64")], [0, undefined]);
});
