import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyConfig, emptyHostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { compressesLog, logRequest } from "./log-request.ts";
import { createdRecord } from "../testing/record.ts";

function record(Type: string, Config: Record<string, string>): ContainerRecord {
  return createdRecord({
    id: "abcdef".repeat(11).slice(0, 64),
    name: "web",
    imageId: `sha256:${"1".repeat(64)}`,
    imageRef: "image:tag",
    config: { ...emptyConfig(), Cmd: ["a", "b"], Env: ["A=1", "B=2"], Labels: { l: "x", m: "y" } },
    hostConfig: { ...emptyHostConfig(), LogConfig: { Type, Config } },
  });
}

const of = (Type: string, Config: Record<string, string> = {}, most = 0) => logRequest(record(Type, Config), { path: "/log", most });
const tag = (template: string) => (of("json-file", { tag: template }) as { attributes?: Record<string, string> }).attributes?.["tag"];

test("limits, of the container's own and of the daemon's", () => {
  assert.deepEqual(of("json-file"), { kind: "json-file", path: "/log", maxFiles: 1 });
  assert.deepEqual(of("json-file", {}, 1001), { kind: "json-file", path: "/log", maxBytes: 501, maxFiles: 2 });
  assert.deepEqual(of("json-file", { "max-file": "5" }, 1000), { kind: "json-file", path: "/log", maxBytes: 200, maxFiles: 5 });
  assert.deepEqual(of("json-file", { "max-size": "1k", "max-file": "3", compress: "true" }, 1000), { kind: "json-file", path: "/log", maxBytes: 1000, maxFiles: 3 });
  assert.deepEqual(of("local", {}, 1000), { kind: "json-file", path: "/log", maxBytes: 20 << 20, maxFiles: 5 });
  assert.deepEqual(of("none"), { kind: "none" });
  assert.deepEqual([compressesLog(record("local", {})), compressesLog(record("local", { compress: "0" })), compressesLog(record("json-file", {})), compressesLog(record("json-file", { compress: "t" })), compressesLog(record("none", {}))], [true, false, false, true, false]);
});

test("what Docker refuses", () => {
  const refused = (options: Record<string, string>, message: string) => assert.throws(() => of("json-file", options), { code: "system", message: `failed to create task for container: failed to initialize logging driver: ${message}` });
  refused({ "max-size": "0" }, "max-size must be a positive number");
  refused({ "max-size": "much" }, "invalid size: 'much'");
  refused({ "max-file": "0" }, "max-file cannot be less than 1");
  refused({ compress: "true" }, "compress cannot be true when max-file is less than 2 or max-size is not set");
  refused({ compress: "maybe" }, 'strconv.ParseBool: parsing "maybe": invalid syntax');
  refused({ tag: "{{.Nothing}}" }, `template: log-tag:1:2: executing "log-tag" at <.Nothing>: can't evaluate field Nothing in type *logger.Info`);
});

test("tags are Go templates, attributes labels and variables", () => {
  assert.equal(tag("plain"), "plain");
  assert.equal(tag("{{.Name}}/{{.ID}} {{.ImageName}} {{.Command}} {{.DaemonName}}"), "web/abcdefabcdef image:tag a b docker");
  assert.equal(tag('{{index .ContainerLabels "l"}}{{with .Config.nothing}}x{{end}}{{.ImageID}}'), "xsha256:11111");
  assert.deepEqual(of("json-file", { labels: "l,z", "env-regex": "^B" }), { kind: "json-file", path: "/log", maxFiles: 1, attributes: { B: "2", l: "x" } });
});
