/** Whole command lines that need no daemon: messages and exit statuses as the docker command line has them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { HANDLERS } from "./handlers.ts";
import { findCommand } from "./main.ts";
import { PLUGINS, SHORTCUTS, TOP_LEVEL } from "./tree/index.ts";
import { parseFlagEntries } from "./tree/types.ts";

const folder = mkdtempSync(`${tmpdir()}/gantry-main-`);
after(() => rmSync(folder, { recursive: true, force: true }));

function gantry(...line: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--", `${import.meta.dirname}/../cmd/gantry.ts`, ...line], {
    encoding: "utf8",
    cwd: folder,
    input: "",
    env: { PATH: process.env["PATH"], HOME: folder, DOCKER_HOST: `unix://${folder}/none.sock` },
  });
  return { status, stdout, stderr };
}

const CASES: [string, number, string][] = [
  ["nosuch", 1, "gantry: unknown command: gantry nosuch\n\nRun 'gantry --help' for more information\n"],
  ["container lss", 1, "gantry: unknown command: gantry container lss\n\nUsage:  gantry container\n\nRun 'gantry container --help' for more information\n"],
  ["volume nosuch", 1, "gantry: unknown command: gantry volume nosuch\n\nUsage:  gantry volume COMMAND\n\nRun 'gantry volume --help' for more information\n"],
  ["compose up --detach", 1, "gantry compose: this command is not implemented yet\n"],
  ["buildx bake", 1, "gantry buildx: this command is not implemented yet\n"],
  ["manifest inspect x", 1, "gantry manifest inspect: this command is not implemented yet\n"],
  ["--nosuch ps", 125, "unknown flag: --nosuch\n\nUsage:  gantry [OPTIONS] COMMAND [ARG...]\n\nRun 'gantry --help' for more information\n"],
  ["ps --nosuch", 125, "unknown flag: --nosuch\n\nUsage:  gantry ps [OPTIONS]\n\nRun 'gantry ps --help' for more information\n"],
  ["container ps -Z", 125, "unknown shorthand flag: 'Z' in -Z\n\nUsage:  gantry container ls [OPTIONS]\n\nRun 'gantry container ls --help' for more information\n"],
  ["ps --all=maybe", 125, 'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax\n\nUsage:  gantry ps [OPTIONS]\n\nRun \'gantry ps --help\' for more information\n'],
  ["ps x", 1, "gantry: 'gantry ps' accepts no arguments\n\nUsage:  gantry ps [OPTIONS]\n\nRun 'gantry ps --help' for more information\n"],
  ["run", 1, "gantry: 'gantry run' requires at least 1 argument\n\nUsage:  gantry run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nSee 'gantry run --help' for more information\n"],
  ["tag a", 1, "gantry: 'gantry tag' requires 2 arguments\n\nUsage:  gantry tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]\n\nRun 'gantry tag --help' for more information\n"],
  ["images a b", 1, "gantry: 'gantry images' requires at most 1 argument\n\nUsage:  gantry images [OPTIONS] [REPOSITORY[:TAG]]\n\nRun 'gantry images --help' for more information\n"],
  ["context use", 1, "accepts 1 arg(s), received 0\n"],
  ["network create --gateway x n", 125, "invalid argument \"x\" for \"--gateway\" flag: invalid string being converted to IP address: x\n\nUsage:  gantry network create [OPTIONS] NETWORK\n\nRun 'gantry network create --help' for more information\n"],
  ["context create --docker nosuch ctx", 125, "invalid argument \"nosuch\" for \"--docker\" flag: nosuch must be formatted as key=value\n\nUsage:  gantry context create [OPTIONS] CONTEXT\n\nRun 'gantry context create --help' for more information\n"],
  ["context create --docker host=x ctx", 1, "unable to create docker endpoint config: unable to apply docker endpoint options: unable to parse docker host `x`\n"],
  ["service create --limit-cpu x i", 125, "invalid argument \"x\" for \"--limit-cpu\" flag: failed to parse x as a rational number\n\nUsage:  gantry service create [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'gantry service create --help' for more information\n"],
  ["save -o /nosuch/x i", 1, "failed to save image: invalid output path: stat /nosuch: no such file or directory\n"],
  ["save -o . i", 1, "failed to save image: cannot write to a directory\n"],

  ["-l nosuch ps", 1, "Unable to parse logging level: nosuch\n"],
  ["-H unix:///x -c y ps", 1, "conflicting options: cannot specify both --host and --context\n"],
  ["-H nosuch://x ps", 1, "Failed to initialize: unable to resolve docker endpoint: invalid bind address format: nosuch://x\n"],
  ["run --pull nosuch alpine", 125, "gantry: invalid pull option: 'nosuch': must be one of \"always\", \"missing\" or \"never\"\n\nRun 'gantry run --help' for more information\n"],
  ["context create default", 1, '"default" is a reserved context name\n'],
  ["checkpoint create a b c", 1, ""],
];

for (const [line, status, stderr] of CASES) {
  test(`gantry ${line}`, () => {
    const result = gantry(...line.split(" "));
    assert.equal(result.status, status);
    if (stderr !== "") assert.equal(result.stderr, stderr);
    assert.equal(result.stdout, "");
  });
}

test("contexts are made, used, shown and deleted", () => {
  assert.deepEqual(gantry("context", "create", "one", "--docker", "host=tcp://h:1", "--description", "d"), { status: 0, stdout: "one\n", stderr: 'Successfully created context "one"\n' });
  assert.equal(gantry("context", "ls", "--format", "{{.Name}}:{{.DockerEndpoint}}").stdout, `default:unix://${folder}/none.sock\none:tcp://h:1\n`);
  assert.equal(gantry("-c", "one", "context", "show").stdout, "one\n");
  assert.equal(gantry("context", "inspect", "one", "-f", "{{.Endpoints.docker.Host}}").stdout, "tcp://h:1\n");
  assert.equal(gantry("context", "use", "one").status, 0);
  assert.equal(gantry("context", "rm", "one", "-f").stdout, "one\n");
});

test("an --env-file is the command's own, not Node's", () => {
  writeFileSync(`${folder}/variables`, "FROM_FILE=1\n");
  assert.match(gantry("run", "--env-file", "missing", "alpine").stderr, /failed to connect to the docker API/);
});

test("every command of the tree has help, a reading of its flags, and a way to run or to be refused", async () => {
  const names = [...Object.keys(TOP_LEVEL), ...Object.keys(SHORTCUTS)];
  assert.ok(names.length > 50);
  let commands = 0;
  for (const load of new Set(Object.values(TOP_LEVEL))) {
    for (const [path, entry] of Object.entries((await load()).COMMANDS)) {
      commands++;
      parseFlagEntries(entry.flags ?? "");
      assert.ok(entry.group || entry.arguments, path);
    }
  }
  assert.ok(commands >= 140);
  for (const path of Object.keys(HANDLERS)) assert.ok((await HANDLERS[path]?.())?.run, path);
});

const commandTree = join(import.meta.dirname, "../../../shared/reference/cli/command-tree.json");

test("every command of Docker's client is known by its name and its aliases", { skip: existsSync(commandTree) ? false : "the reference is not beside the checkout" }, async () => {
  const { commands } = JSON.parse(readFileSync(commandTree, "utf8")) as { commands: { path: string; also?: string[]; leaf: boolean }[] };
  const program = { name: "docker", wiring: { version: "", commit: "", packageRoot: "" } };
  let seen = 0;
  for (const { path, also = [], leaf } of commands) {
    for (const words of [path, ...also].map((text) => text.split(" ").slice(1)).filter(([first]) => first !== undefined)) {
      seen++;
      if (PLUGINS.has(words[0] as string)) {
        await assert.rejects(findCommand(words, program), { message: `docker ${words[0]}: this command is not implemented yet` });
        continue;
      }
      const found = await findCommand(words, program);
      assert.deepEqual([found.rest, found.entry.group === true], [[], !leaf], words.join(" "));
    }
  }
  assert.ok(seen > 190, `${seen}`);
});

test("help has the program's layout", () => {
  assert.match(gantry("--help").stdout, /^Usage: {2}gantry \[OPTIONS\] COMMAND\n[^]*\nCommands:\n[^]*\nGlobal Options:\n/);
  assert.match(gantry("help", "ps").stdout, /^Usage: {2}gantry ps \[OPTIONS\]\n\nList containers\n\nAliases:\n {2}gantry container ls, gantry container list, gantry ps\n\nOptions:\n {2}-a, --all /);
  assert.equal(gantry("help", "nosuch").stderr, "unknown help topic: nosuch\n");
});
