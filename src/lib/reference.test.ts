import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalName, familiarName, isTag, parseAnyReference, parseReference, truncatedId, withDefaultTag } from "./reference.ts";

const hex = "a".repeat(64);

test("names are completed and shortened as Docker does", () => {
  const cases: [input: string, canonical: string, familiar: string][] = [
    ["busybox", "docker.io/library/busybox:latest", "busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"],
    ["library/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
    ["user/image", "docker.io/user/image:latest", "user/image:latest"],
    ["docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
    ["index.docker.io/user/image", "docker.io/user/image:latest", "user/image:latest"],
    ["localhost/x", "localhost/x:latest", "localhost/x:latest"],
    ["localhost:5000/x/y:tag", "localhost:5000/x/y:tag", "localhost:5000/x/y:tag"],
    ["127.0.0.1:5/x", "127.0.0.1:5/x:latest", "127.0.0.1:5/x:latest"],
    ["[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"],
    ["ghcr.io/a/b/c", "ghcr.io/a/b/c:latest", "ghcr.io/a/b/c:latest"],
    ["Registry/x", "Registry/x:latest", "Registry/x:latest"],
    ["a__b/c-.d".replace("-.", "--"), "docker.io/a__b/c--d:latest", "a__b/c--d:latest"],
    [`x@sha256:${hex}`, `docker.io/library/x@sha256:${hex}`, `x@sha256:${hex}`],
    [`x:1@sha256:${hex}`, `docker.io/library/x:1@sha256:${hex}`, `x:1@sha256:${hex}`],
    ["docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"],
  ];
  for (const [input, canonical, familiar] of cases) {
    const reference = withDefaultTag(parseReference(input));
    assert.deepEqual([canonicalName(reference), familiarName(reference)], [canonical, familiar], input);
    assert.deepEqual(parseReference(canonical), reference);
  }
});

test("malformed names are refused in Docker's words", () => {
  const cases: [input: string, message: string][] = [
    ["", "invalid reference format"],
    [":tag", "invalid reference format"],
    ["a b", "invalid reference format"],
    ["x:", "invalid reference format"],
    ["x:-tag", "invalid reference format"],
    ["x@sha256:123", "invalid reference format"],
    ["x//y", "invalid reference format"],
    ["-x", "invalid reference format"],
    ["x.", "invalid reference format"],
    ["x..y", "invalid reference format"],
    ["x___y", "invalid reference format"],
    ["../../etc", "invalid reference format"],
    [`x:${"t".repeat(129)}`, "invalid reference format"],
    ["BAD", "invalid reference format: repository name (library/BAD) must be lowercase"],
    ["user/BAD:tag", "invalid reference format: repository name (user/BAD) must be lowercase"],
    [hex, `invalid repository name (${hex}), cannot specify 64-byte hexadecimal strings`],
    ["x".repeat(256), "repository name must not be more than 255 characters"],
    [`x@sha999:${hex}`, "unsupported digest algorithm"],
    [`x@sha256:${"a".repeat(63)}`, "invalid checksum digest length"],
    [`x@sha256:${"A".repeat(64)}`, "invalid checksum digest format"],
  ];
  for (const [input, message] of cases) assert.throws(() => parseReference(input), { code: "invalid-parameter", message }, input);
  assert.throws(() => parseReference("a".repeat(1 << 20)), { code: "invalid-parameter" });
});

test("ids, whole and shortened", () => {
  assert.deepEqual(parseAnyReference(hex), { kind: "id", digest: `sha256:${hex}` });
  assert.deepEqual(parseAnyReference(`sha256:${hex}`), { kind: "id", digest: `sha256:${hex}` });
  assert.equal(parseAnyReference("abcdef123456").kind, "name");
  assert.deepEqual(["abcd", "sha256:abcdef", hex, "abc", "abcg", `${hex}a`].map(truncatedId), ["abcd", "abcdef", hex, undefined, undefined, undefined]);
  assert.deepEqual(["latest", "v1.0_x-y", "_", ".x", "", "a b"].map(isTag), [true, true, true, false, false, false]);
});
