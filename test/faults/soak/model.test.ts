import assert from "node:assert/strict";
import { test } from "node:test";
import { type Action, after, byItself, Container, type Outcome, type State } from "./model.ts";
import { Register } from "./register.ts";

const caller = (container: Container) => (action: Action, outcome: Outcome, seen?: State): string | undefined => container.end(container.begin(action), action, outcome, seen);

test("a container: answers narrow what is possible, lost ones widen it", () => {
  const container = new Container({ short: false, always: false, autoRemove: false });
  const call = caller(container);
  assert.equal(call("create", "done"), undefined);
  assert.equal(call("start", "lost"), undefined);
  assert.deepEqual([...container.possible].sort(), ["created", "exited", "running"]);
  assert.equal(call("look", "lost"), undefined);
  assert.equal(container.possible.size, 3, "nothing was seen");
  assert.equal(call("look", "done", "running"), undefined);
  assert.equal(call("pause", "done"), undefined);
  assert.match(call("look", "done", "running") ?? "", /possible were paused/);
  assert.deepEqual(after("running", "stop", "refused"), []);
  assert.deepEqual(byItself("paused", container.traits), []);
});

test("a prune takes what does not run; a commit that is cut off may leave a container frozen, a stop may leave it thawed", () => {
  const container = new Container({ short: false, always: false, autoRemove: false });
  const call = caller(container);
  call("create", "done");
  call("start", "done");
  assert.equal(call("prune", "done"), undefined);
  assert.deepEqual([...container.possible], ["running"]);
  assert.equal(call("commit", "lost"), undefined);
  assert.equal(call("look", "done", "paused"), undefined);
  assert.equal(call("stop", "lost"), undefined);
  assert.equal(call("look", "done", "running"), undefined, "it was thawed, and has not heard of its signal");
  call("stop", "done");
  assert.equal(call("prune", "done"), undefined);
  assert.deepEqual([...container.possible], ["absent"]);
});

test("overlapping calls prove nothing, and what they may have led to is possible", () => {
  const container = new Container({ short: false, always: false, autoRemove: false });
  caller(container)("create", "done");
  const [start, remove] = [container.begin("start"), container.begin("force-remove")];
  assert.equal(container.end(start, "start", "absent"), undefined);
  assert.equal(container.end(remove, "force-remove", "done"), undefined);
  assert.ok(container.possible.has("absent") && container.possible.has("running"));
});

test("a register: a lost change may have been made, a refused one was not, a look says which", () => {
  const register = new Register("one");
  register.set("two", "lost");
  register.set("three", "refused");
  assert.equal(register.is("two"), false);
  assert.equal(register.see("two"), undefined);
  assert.equal(register.see("one"), "two");
  register.set("four", "lost", { partly: true });
  assert.equal(register.see("fo"), undefined);
});
