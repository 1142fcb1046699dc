/**
 * Good configurations with one or two members changed, given to gantry-runtime as it is installed: each runs, or is refused with exit
 * code 1 and a message that names the member; afterwards no cgroup, mount, process or file is left. GANTRY_MUTATIONS sets how many
 * (1,000 and more take minutes), GANTRY_SEED which. They run in a machine of their own.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { OciSpec } from "../../src/lib/oci-spec.ts";
import { nativeDir } from "../../src/sys/addon.ts";
import { Random } from "../faults/soak/random.ts";
import { Machine } from "../harness/machine.ts";
import { busybox, skip } from "./bundle.ts";
import { goodConfigurations } from "./good-configurations.ts";

const asked = process.env["GANTRY_MUTATIONS"];
const count = Number(asked ?? 100);
/** Unless somebody asked for a number, a machine that is busy with other things tries fewer. */
const SHORT_MS = 10_000;
const seed = Number(process.env["GANTRY_SEED"] ?? 1);

type Path = (string | number)[];
type Tree = Record<string | number, unknown>;

const odd: readonly unknown[] = [
  null, "", " ", "\0", "/", ".", "..", "../..", "/../../x", "a/../../b", "x\ny", "ünïcødé ✓", "%s%n", "x".repeat(5000), "constructor", "__proto__", "SCMP_ACT_KILL", "CAP_SYS_ADMIN", "rbind,ro", "tmpfs", "bind", "proc", "user", "0x10", "1e3",
  -1, 0, 1, 1.5, 2 ** 16, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 63), 1e300, true, false, [], {}, [null], [[]], [{}], [""], { a: {} }, { a: "b" },
];

const pathsOf = (value: unknown, path: Path = []): Path[] => [
  ...(path.length > 0 ? [path] : []),
  ...(typeof value === "object" && value !== null ? Object.entries(value).flatMap(([key, one]) => pathsOf(one, [...path, Array.isArray(value) ? Number(key) : key])) : []),
];
const parentOf = (spec: Tree, path: Path): Tree => path.slice(0, -1).reduce<Tree>((at, key) => at[key] as Tree, spec);

/** Changes one member, and says which and how. */
function mutate(spec: Tree, random: Random): string {
  const path = random.pick(pathsOf(spec));
  const [parent, key] = [parentOf(spec, path), path.at(-1)!];
  const name = path.join(".");
  switch (random.below(5)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      return `${name} removed`;
    case 1:
      if (Array.isArray(parent)) {
        parent.push(structuredClone(parent[Number(key)]));
        return `${name} twice`;
      }
      parent[`${key}X`] = parent[key];
      return `${name} by another name as well`;
    case 2:
      parent[key] = structuredClone(parentOf(spec, random.pick(pathsOf(spec))));
      return `${name} = another part`;
    default:
      parent[key] = structuredClone(random.pick(odd));
      return `${name} = ${JSON.stringify(parent[key])?.slice(0, 60)}`;
  }
}

/** Another member, which does not go with the changed one. */
const contradicted = /mounts\[\d+\]|(linux|process|root|hooks)\.\w+|hostname|domainname|chdir to cwd/;

/** What a run in a namespace of mounts that is not its own does there stays, as its configuration says. */
const hasOwnMounts = ({ linux }: Partial<OciSpec>): boolean => Array.isArray(linux?.namespaces) && linux.namespaces.some((one) => one?.type === "mount" && !one.path);

describe("changed configurations", { skip }, () => {
  let machine: Machine;
  let bundle: string;
  before(async () => {
    machine = await Machine.create();
    bundle = join(machine.folder, "bundle");
    for (const name of ["rootfs/bin", "shared", "../resident", "../state"]) mkdirSync(join(bundle, name), { recursive: true });
    writeFileSync(join(bundle, "shared/file"), "content");
    chmodSync(machine.folder, 0o755);
    freshRoot();
    assert.equal(run(goodConfigurations["docker"]!).status, 0);
  });
  after(async () => machine?.[Symbol.asyncDispose]());

  function freshRoot(): void {
    rmSync(join(bundle, "rootfs"), { recursive: true });
    for (const name of ["bin", "etc", "tmp", "proc", "dev", "sys"]) mkdirSync(join(bundle, "rootfs", name), { recursive: true });
    copyFileSync(busybox, join(bundle, "rootfs/bin/busybox"));
    for (const name of ["true", "sh"]) symlinkSync("busybox", join(bundle, "rootfs/bin", name));
  }

  function run(spec: unknown): { status: number | null; signal: string | null; stderr: string } {
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
    const [program, args] = machine.command([join(nativeDir, "gantry-runtime"), "--root", join(machine.folder, "state"), "run", "--bundle", bundle, "mutant"]);
    return spawnSync(program, args, { encoding: "utf8", cwd: bundle, env: { ...process.env, GANTRY_RESIDENT: join(machine.folder, "resident") }, stdio: ["ignore", "ignore", "pipe"], timeout: 300_000 });
  }

  const list = (...parts: string[]): string[] => readdirSync(join(...parts)).sort();
  const foldersIn = (path: string): string[] => readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
  const allFoldersIn = (path: string): string[] => foldersIn(path).flatMap((one) => [one, ...allFoldersIn(one)]);
  /** Without the parent that the good configurations name. */
  const groups = (): string[] => foldersIn("/sys/fs/cgroup").map((path) => join(path, machine.name)).filter((path) => existsSync(path)).flatMap(allFoldersIn).filter((path) => !path.endsWith("/good"));
  /** Everything that a run may leave; loop devices are made by others. */
  const world = (): object => ({
    mounts: readFileSync(`/proc/${machine.pid}/mountinfo`, "utf8").trim().split("\n").length,
    state: list(machine.folder, "state"),
    bundle: list(bundle),
    folder: list(machine.folder),
    host: [list("/"), list("/dev").filter((name) => !/^loop\d/.test(name)), hostname()],
    groups: groups(),
  });

  for (const [name, spec] of Object.entries(goodConfigurations))
    test(`control: ${name} runs`, () => {
      const { status, stderr } = run(spec);
      assert.equal(status, 0, stderr);
    });

  /** What is wrong about a run of a configuration with these changes. */
  function check(spec: Tree, changes: string[]): "ran" | "refused" {
    const before = world();
    const { status, signal, stderr } = run(spec);
    assert.equal(signal, null, "it does not end");
    const refusal = /level=error msg="(.*)"$/m.exec(stderr)?.[1];
    if (refusal !== undefined) {
      assert.equal(status, 1, stderr);
      const words = changes.flatMap((change) => change.split(" ")[0]!.split(".").filter((word) => !/^\d+$/.test(word)));
      assert.ok(words.some((word) => refusal.includes(word)) || contradicted.test(refusal), `does not name it: ${refusal}\n${stderr}`);
    }
    assert.deepEqual(world(), before, "something is left, or changed");
    return refusal === undefined ? "ran" : "refused";
  }

  test(`up to ${count} changes, seed ${seed}`, { timeout: 3_600_000 }, (context) => {
    const random = new Random(seed);
    const outcome = { ran: 0, refused: 0 };
    const wrong: string[] = [];
    const end = performance.now() + SHORT_MS;
    for (let round = 0; round < count && (asked !== undefined || performance.now() < end); round++) {
      const base = random.pick(Object.keys(goodConfigurations));
      const spec = structuredClone(goodConfigurations[base]!) as unknown as Tree;
      const changes = [mutate(spec, random), ...(random.chance(20) ? [mutate(spec, random)] : [])];
      if (!hasOwnMounts(spec)) continue;
      try {
        outcome[check(spec, changes)]++;
      } catch (error) {
        wrong.push(`${base}: ${changes.join("; ")}: ${(error as Error).message}`);
        freshRoot();
      }
    }
    context.diagnostic(`changed configurations ${outcome.ran + outcome.refused}: ${outcome.ran} ran, ${outcome.refused} refused by name`);
    assert.deepEqual(wrong, []);
  });
});
