import assert from "node:assert/strict";
import { test } from "node:test";
import { checkUser } from "./user-database.ts";

const passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
const group = "root:x:0:\nstaff:x:50:alice\n";

test("names that exist and numbers that need not", () => {
  for (const spec of ["", "alice", "alice:staff", "7", "7:8", "0:staff", "alice:99"]) checkUser(spec, passwd, group);
});

test("names that do not exist", () => {
  assert.throws(() => checkUser("bob", passwd, group), { code: "invalid-parameter", message: "unable to find user bob: no matching entries in passwd file" });
  assert.throws(() => checkUser("ali", passwd, group), { message: /user ali/ });
  assert.throws(() => checkUser("alice:wheel", passwd, group), { message: "unable to find group wheel: no matching entries in group file" });
});
