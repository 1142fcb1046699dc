import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../status-error.ts";
import type { OutputStream } from "../streams.ts";
import { inspectAll } from "./inspect.ts";
import { compactJson, indentJson } from "./json.ts";

const CONTAINER = '{"Id":"abc","Name":"/web","State":{"Running":true,"ExitCode":0},"Config":{"Cmd":["sh"],"Entrypoint":null,"Labels":{"b":"<1>","a":"2"},"Healthcheck":{"Test":["CMD","x"],"Interval":90000000000}},"HostConfig":{"Memory":9223372036854775807,"Dns":[]},"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}}}';

async function inspect(format: string, names = ["web"]): Promise<{ text: string; error?: StatusError }> {
  let text = "";
  const out = { write: (data: string) => (text += data), line: (data: string) => (text += `${data}\n`) } as unknown as OutputStream;
  const find = async (name: string): Promise<string> => {
    if (name !== "web") throw new Error(`no such object: ${name}`);
    return CONTAINER;
  };
  try {
    await inspectAll(names, { format, out, find });
    return { text };
  } catch (thrown) {
    assert.ok(thrown instanceof StatusError);
    return { text, error: thrown };
  }
}

const CASES: [string, string][] = [
  ["{{.Name}} {{.State.Running}}", "/web true"],
  ["{{.ID}} {{.Id}}", "abc abc"],
  ["{{.Config.Entrypoint}} {{len .Config.Entrypoint}} {{json .Config.Entrypoint}}", "[] 0 null"],
  ['{{index .Config.Labels "a"}}{{index .Config.Labels "none"}}|{{.Config.Labels.none}}', "2|<no value>"],
  ['{{.Config.User}}|{{.Config.Volumes}}|{{json .Config.Shell}}', "|map[]|null"],
  ["{{.Config.Healthcheck}} {{.Config.Healthcheck.Interval}} {{json .Config.Healthcheck}}", '{[CMD x] 1m30s 0s 0s 0s 0} 1m30s {"Test":["CMD","x"],"Interval":90000000000}'],
  ["{{json .Config.Labels}}", '{"a":"2","b":"<1>"}'],
  ["{{.HostConfig.Memory}} {{.HostConfig.DNS}}", "9223372036854775807 []"],
  ["{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"],
  ["{{json .State}}", '{"Running":true,"ExitCode":0}'],
  ["{{.State}}", "{true 0}"],
  ["{{range $p, $b := .NetworkSettings.Ports}}{{$p}}={{(index $b 0).HostPort}}{{end}}", "80/tcp=8080"],
];

for (const [format, expected] of CASES) test(`inspect -f ${format}`, async () => assert.deepEqual(await inspect(format), { text: `${expected}\n` }));

test("what is not there is told by the raw JSON", async () => {
  const { text, error } = await inspect("{{.State.Health.Status}}");
  assert.equal(text, "\n");
  assert.equal(error?.message, 'template parsing error: template: :1:8: executing "" at <.State.Health.Status>: map has no entry for key "Health"');
  assert.equal((await inspect("{{.Name")).error?.status, 64);
});

test("names that are missing do not hide those that are found", async () => {
  const { text, error } = await inspect("", ["nosuch", "web", "other"]);
  assert.deepEqual(JSON.parse(text.replace("9223372036854775807", "1"))[0].Id, "abc");
  assert.deepEqual([error?.status, error?.message], [1, "no such object: nosuch\nno such object: other"]);
  assert.equal((await inspect("", ["nosuch"])).text, "[]\n");
});

test("JSON is indented without being read", () => {
  assert.equal(indentJson('[{"a":1e400,"b":{},"c":[ ],"d":"{\\"\\u003c","e":[1,2]}]'), '[\n    {\n        "a": 1e400,\n        "b": {},\n        "c": [],\n        "d": "{\\"\\u003c",\n        "e": [\n            1,\n            2\n        ]\n    }\n]');
  assert.equal(compactJson('{ "a b" : [ 1, 2 ] }'), '{"a b":[1,2]}');
});
