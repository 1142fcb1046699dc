import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { userMapsFor } from "./user-remap.ts";

const files: Record<string, string> = {
  passwd: "root:x:0:0::/:/bin/sh\none:x:91001:91002::/:\nlonely:x:91005:91005::/:\n",
  group: "root:x:0:\none:x:91002:\nother:x:91003:\nnumbered:x:91001:\n",
  subuid: "else:1:1\n# of two\none:100000:65536\n91001:300000:10\nroot:7:7\n",
  subgid: "one:400000:65536\n",
};

interface Result {
  maps: ReturnType<typeof userMapsFor>;
  made: string[];
  warnings: string[];
}

function resolve(text: string, change: Record<string, string> = {}): Result {
  const etc = mkdtempSync(join(tmpdir(), "gantry-remap-"));
  const write = (all: Record<string, string>): void => Object.entries(all).forEach(([name, content]) => writeFileSync(join(etc, name), content));
  const made: string[] = [];
  const warnings: string[] = [];
  const addUser = (name: string): void => {
    if (change["fails"] !== undefined) throw new Error(change["fails"]);
    made.push(name);
    write({ passwd: `${files["passwd"]}${name}:x:91009:91009::/:\n`, group: `${files["group"]}${name}:x:91009:\n`, subuid: `${name}:500000:65536\n`, subgid: `${name}:600000:65536\n` });
  };
  try {
    write({ ...files, ...change });
    return { maps: userMapsFor(text, { log: { info: () => undefined, warn: (message) => void warnings.push(message) }, etc, addUser }), made, warnings };
  } finally {
    rmSync(etc, { recursive: true });
  }
}

const maps = { uids: [{ containerID: 0, hostID: 100000, size: 65536 }, { containerID: 65536, hostID: 300000, size: 10 }], gids: [{ containerID: 0, hostID: 400000, size: 65536 }] };

test("users by name and number, with and without a group", () => {
  for (const text of ["one", "one:other", "one:91003", "91001", "91001:other", "91001:91002"]) assert.deepEqual(resolve(text).maps, maps, text);
  assert.equal(resolve("").maps, undefined);
});

test("default is dockremap, who is made when missing", () => {
  const { maps: made, made: names } = resolve("default");
  assert.deepEqual(names, ["dockremap"]);
  assert.deepEqual(made, { uids: [{ containerID: 0, hostID: 500000, size: 65536 }], gids: [{ containerID: 0, hostID: 600000, size: 65536 }] });
  const there = { passwd: "dockremap:x:91007:91007::/:\n", group: "dockremap:x:91007:\n", subuid: "dockremap:1:2\n", subgid: "dockremap:3:4\n" };
  assert.deepEqual(resolve("default", there), { maps: { uids: [{ containerID: 0, hostID: 1, size: 2 }], gids: [{ containerID: 0, hostID: 3, size: 4 }] }, made: [], warnings: [] });
  assert.throws(() => resolve("default", { fails: "there is no program useradd" }), /Error during "dockremap" user creation: there is no program useradd; make the user/);
});

test("root cannot be remapped with itself", () => {
  const { maps: none, warnings } = resolve("root");
  assert.equal(none, undefined);
  assert.deepEqual(warnings, ["User namespaces: root cannot be remapped with itself; user namespaces are OFF"]);
});

test("what is missing is named", () => {
  const cases: [string, Record<string, string>, RegExp][] = [
    ["nosuchuser", {}, /Error during uid lookup for "nosuchuser"/],
    ["91099", {}, /Uid 91099 has no entry in \/etc\/passwd/],
    ["lonely", {}, /Error during gid lookup for "lonely"/],
    ["91005", {}, /Gid 91005 has no entry in \/etc\/group/],
    ["one:nosuchgroup", {}, /Error during groupname lookup for "nosuchgroup"/],
    ["one:91098", {}, /Gid 91098 has no entry in \/etc\/passwd/],
    ["lonely:other", {}, /error creating ID mappings: no subuid ranges found for user "lonely": add a line such as lonely:100000:65536 to \/etc\/subuid/],
    ["one", { subgid: "" }, /no subgid ranges found for user "one"/],
    ["one", { subuid: "one:-1:5\n" }, /"one:-1:5" is not a range of ids/],
    ["one", { subuid: "one:5:0\n" }, /"one:5:0" is not a range of ids/],
    ["one", { subuid: "one:5:99999999999\n" }, /is not a range of ids/],
  ];
  for (const [text, change, message] of cases) assert.throws(() => resolve(text, change), { code: "invalid-parameter", message }, text);
});
