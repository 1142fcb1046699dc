/**
 * The recorded answers of a real Docker, where the tool and its recordings stand beside the checkout (../shared).
 *
 * parity-expected.json lists the steps that are known to differ, grouped by reason. A step that differs without standing
 * there fails; so does one that stands there and does not differ any more.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { endEngine, Engine, project } from "../harness/engine.ts";
import { Machine } from "../harness/machine.ts";

interface Step {
  topic: string;
  name: string;
  call: string;
  state: "passed" | "failed" | "not run";
  differences: string[];
}

const tool = join(project, "..", "shared", "tools", "parity");
const apiTopics = ["system", "networks", "events", "swarm-inactive", "volumes", "containers-io", "containers-lifecycle", "containers-create", "containers-create-invalid"];
/** The tool starts servers of its own for these, on the loopback that the daemon must see. */
const insideTopics = ["registry"];
const cliTopics = ["cli-run", "cli-misc"];
const expected = new Map<string, string>();
for (const { reason, steps } of JSON.parse(readFileSync(join(import.meta.dirname, "..", "parity-expected.json"), "utf8")) as { reason: string; steps: string[] }[]) for (const step of steps) expected.set(step, reason);

describe("recorded answers of Docker", { skip: existsSync(tool) ? false : `${tool} is not there` }, () => {
  let engine: Engine;
  before(async () => {
    engine = new Engine(await Machine.create(), { env: { DOCKER_MIN_API_VERSION: "1.40" } });
    await engine.start();
  });
  after(async () => endEngine(engine));

  for (const topic of [...insideTopics, ...apiTopics]) test(topic, async () => judge(() => steps("compare", topic)));
  for (const topic of cliTopics) test(topic, async () => judge(() => steps("cli", topic, "--client", join(project, "bin/gantry"))));

  async function steps(command: string, topic: string, ...more: string[]): Promise<Step[]> {
    const line = ["python3", tool, command, "--socket", engine.socket, "--only", topic, "--json", ...more];
    const [program, args] = insideTopics.includes(topic) ? engine.machine.command(line) : [line[0] ?? "", line.slice(1)];
    const output = await new Promise<string>((resolve, reject) =>
      execFile(program, args, { maxBuffer: 1 << 28, timeout: 400_000 }, (error, stdout, stderr) => {
        if (error !== null && error.code !== 1) reject(new Error(`${error.message}\n${stderr}`));
        else resolve(stdout);
      }),
    );
    return (JSON.parse(output) as { steps: Step[] }).steps;
  }
});

/**
 * What differs is compared once more, and counts when it differs again: some answers depend on how far a container's program has come
 * (a stop that comes before its trap is set ends with a second signal), on a busy machine for Docker, too.
 */
async function judge(compare: () => Promise<Step[]>): Promise<void> {
  const steps = await compare();
  assert.ok(steps.length > 0, "no steps ran");
  let problems = problemsOf(steps);
  if (problems.size > 0) {
    const again = problemsOf(await compare());
    problems = new Map([...problems].filter(([id]) => again.has(id)));
  }
  const passed = steps.filter(({ state }) => state === "passed").length;
  assert.equal(problems.size, 0, `${passed} of ${steps.length} passed; unexpected:\n  ${[...problems.values()].join("\n  ")}`);
}

function problemsOf(steps: Step[]): Map<string, string> {
  const problems = new Map<string, string>();
  for (const { topic, name, call, state, differences } of steps) {
    const id = `${topic}/${name}`;
    if (state === "failed" && !expected.has(id)) problems.set(id, `${id}\n    ${call}\n    ${differences.slice(0, 6).join("\n    ")}`);
    if (state === "passed" && expected.has(id)) problems.set(id, `${id} passes: take it out of test/parity-expected.json`);
  }
  return problems;
}
