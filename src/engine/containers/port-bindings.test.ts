/** Changes of port bindings: which bindings and which published ports go, what comes, what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PortState } from "../../core/container.ts";
import { changeBindings } from "./port-bindings.ts";
import type { Bindings } from "./port-bindings.ts";

const at = (HostPort: string, HostIp = ""): { HostIp: string; HostPort: string } => ({ HostIp, HostPort });
const published = (hostPort: number, port = 80, hostIp = "0.0.0.0"): PortState => ({ protocol: "tcp", port, hostIp, hostPort });
const change = (current: Bindings, remove: Bindings, add: Bindings = {}, live: PortState[] = []): ReturnType<typeof changeBindings> => changeBindings(current, { add, remove }, live);

test("one binding goes by its host port, with what it publishes in both families", () => {
  const live = [published(8080), published(8080, 80, "::"), published(8081), published(8080, 81)];
  assert.deepEqual(change({ "80/tcp": [at("8080"), at("8081")] }, { "80/tcp": [at("8080")] }, {}, live), { bindings: { "80/tcp": [at("8081")] }, gone: live.slice(0, 2) });
});

test("a port without a host port is all of it; the others stay", () => {
  const live = [published(8080), published(8081), published(9000, 90)];
  for (const all of [[], null, [at("")]]) {
    assert.deepEqual(change({ "80/tcp": [at("8080"), at("8081")], "90/tcp": [at("9000")] }, { "80/tcp": all }, {}, live), { bindings: { "90/tcp": [at("9000")] }, gone: live.slice(0, 2) });
  }
});

test("what the host chose is found by what it chose, and exact bindings have theirs", () => {
  const live = [published(32768), published(8005), published(8000)];
  const current = { "80/tcp": [at(""), at("8000-8010"), at("8000")] };
  assert.deepEqual(change(current, { "80/tcp": [at("32768")] }, {}, live), { bindings: { "80/tcp": [at("8000-8010"), at("8000")] }, gone: [published(32768)] });
  assert.deepEqual(change({ "80/tcp": [at("8000-8010"), at("8000")] }, { "80/tcp": [at("8000-8010")] }, {}, [published(8005), published(8000)]), { bindings: { "80/tcp": [at("8000")] }, gone: [published(8005)] });
});

test("by address", () => {
  const live = [published(8080, 80, "127.0.0.1"), published(8081, 80, "192.0.2.1")];
  assert.deepEqual(change({ "80/tcp": [at("8080", "127.0.0.1"), at("8081", "192.0.2.1")] }, { "80/tcp": [at("", "192.0.2.1")] }, {}, live), { bindings: { "80/tcp": [at("8080", "127.0.0.1")] }, gone: [live[1]] });
});

test("a binding moves to another port of the container at once; ports come in their order", () => {
  assert.deepEqual(change({ "80/tcp": [at("8080")] }, { "80/tcp": [at("8080")] }, { "81/tcp": [at("8080")], "82/tcp": null }, [published(8080)]), { bindings: { "81/tcp": [at("8080")], "82/tcp": [at("")] }, gone: [published(8080)] });
});

test("what is not there, and what is there already, is refused by name", () => {
  assert.throws(() => change({}, { "80/tcp": [] }), { code: "conflict", message: "port 80/tcp is not published" });
  assert.throws(() => change({ "80/tcp": [at("1")] }, { "80/tcp": [at("1"), at("8080", "::1")] }), { message: "port [::1]:8080:80/tcp is not published" });
  assert.throws(() => change({ "80/tcp": [at("8080")] }, {}, { "80/tcp": [at("8080")] }), { message: "port 8080:80/tcp is published already" });
});
