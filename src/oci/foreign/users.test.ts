import assert from "node:assert/strict";
import { test } from "node:test";
import type { OciProcess } from "../../lib/oci-spec.ts";
import { configText } from "./bundle.ts";
import { numericUser } from "./users.ts";

const files: Record<string, string> = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n  web:x:1000:1001::/home/web:\nbroken:x:abc:0::/:\nhuge:x:4294967296:0::/:\n123:x:50:51::/:\n",
  "/etc/group": "root:x:0:\nwebgroup:x:1001:\nextra:x:2000:root,web\nother:x:2001:webb\n",
};
const read = (path: string): Promise<string | undefined> => Promise.resolve(files[path]);
const user = (username: string, more: Partial<OciProcess["user"]> = {}): Promise<OciProcess["user"]> => numericUser({ uid: 0, gid: 0, username, ...more }, read);

test("Docker's USER becomes numbers", async () => {
  const cases: [string, OciProcess["user"]][] = [
    ["0", { uid: 0, gid: 0, additionalGids: [2000, 0] }],
    ["web", { uid: 1000, gid: 1001, additionalGids: [2000, 1001] }],
    ["1000", { uid: 1000, gid: 1001, additionalGids: [2000, 1001] }],
    ["web:extra", { uid: 1000, gid: 2000, additionalGids: [2000] }],
    ["web:77", { uid: 1000, gid: 77, additionalGids: [77] }],
    ["4711", { uid: 4711, gid: 0, additionalGids: [0] }],
    ["4711:4712", { uid: 4711, gid: 4712, additionalGids: [4712] }],
    [":other", { uid: 0, gid: 2001, additionalGids: [2001] }],
    // A number is a number, also where a name looks like it.
    ["123", { uid: 123, gid: 0, additionalGids: [0] }],
  ];
  for (const [spec, expected] of cases) assert.deepEqual(await user(spec), expected, spec);
  assert.deepEqual(await user("web", { umask: 7, additionalGids: [5], additionalGroups: ["other", "9"] }), { uid: 1000, gid: 1001, umask: 7, additionalGids: [2000, 1001, 5, 2001, 9] });
  assert.deepEqual(await numericUser({ uid: 3, gid: 4 }, read), { uid: 3, gid: 4 });
  assert.deepEqual(await numericUser({ uid: 0, gid: 0, username: "0:0" }, () => Promise.resolve(undefined)), { uid: 0, gid: 0, additionalGids: [0] });
});

test("who is not there is told in Docker's words", async () => {
  const refused: [string, RegExp][] = [
    ["nobody", /^GantryError: unable to find user nobody: no matching entries in passwd file$/],
    ["broken", /unable to find user broken/],
    ["huge", /unable to find user huge/],
    ["web:none", /unable to find group none: no matching entries in group file/],
    ["2147483648", /uids and gids must be in range 0-2147483647/],
    ["0:2147483648", /uids and gids must be in range/],
  ];
  for (const [spec, pattern] of refused) await assert.rejects(user(spec), (error: Error) => pattern.test(String(error)) && (error.cause as { kind: string }).kind === "user-not-found", spec);
  await assert.rejects(user("0", { additionalGroups: ["none"] }), /unable to find group none/);
});

test("numbers that JSON's readers would round are written out", () => {
  assert.equal(configText({ value: 2n ** 64n - 1n, rlimits: [{ soft: 5, hard: -1 }, { soft: 2 ** 64, hard: 2 ** 64 }] }), '{"value":18446744073709551615,"rlimits":[{"soft":5,"hard":18446744073709551615},{"soft":18446744073709551615,"hard":18446744073709551615}]}');
});
