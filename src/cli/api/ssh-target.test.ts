import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSshUrl, sshArguments } from "./ssh-target.ts";

const SCRIPT = "sh -c 'if command -v docker >/dev/null 2>&1; then exec docker system dial-stdio; else exec gantry system dial-stdio; fi'";

test("addresses behind ssh:// become what the ssh program is called with", () => {
  const options = ["-o", "ConnectTimeout=30", "-T", "--"];
  assert.deepEqual(sshArguments(parseSshUrl("ssh://box")), [...options, "box", SCRIPT]);
  assert.deepEqual(sshArguments(parseSshUrl("ssh://me@box.example:2222/")), ["-l", "me", "-p", "2222", ...options, "box.example", SCRIPT]);
  assert.deepEqual(parseSshUrl("ssh://[fe80::1]"), { user: "", host: "fe80::1", port: "", path: "" });
  assert.match(sshArguments(parseSshUrl("ssh://box/run/my%20own.sock")).at(-1)!, /exec docker --host "unix:\/\/\/run\/my own\.sock" system dial-stdio; else exec gantry --host "unix/);
});

test("addresses that cannot be are refused with the reason", () => {
  for (const [url, reason] of [
    ["ssh://me:secret@box", /plain-text password is not supported/],
    ["ssh://", /is no URL|hostname is empty/],
    ["ssh://box?x=1", /query parameters are not allowed: "x=1"/],
    ["ssh://box#part", /fragments are not allowed: "part"/],
  ] as const) assert.throws(() => parseSshUrl(url), reason, url);
  for (const path of ["a'b", "a%5Cb", "a%0Ab"]) assert.throws(() => sshArguments(parseSshUrl(`ssh://box/${path}`)), /not supported/, path);
});
