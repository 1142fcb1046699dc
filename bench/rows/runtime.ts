/** Row 8: the OCI runtime alone: `run` of `true` from a bundle, by the command line and in a process that is there, and the rate of `create`. */
import { project } from "../../test/harness/engine.ts";
import { Machine } from "../../test/harness/machine.ts";
import { makeBundle, programVersion } from "../engines.ts";
import { compare, type Line, stat } from "../measure.ts";

interface Measured {
  runs: number[][];
  rates: number[][];
}

export async function run(): Promise<Line[]> {
  await using machine = await Machine.create();
  const bundle = makeBundle(machine);
  const runc = programVersion("runc", /runc version (\S+)/);
  const crun = runs(machine, "crun", bundle) ? programVersion("crun", /crun version (\S+)/) : undefined;
  // What engines are told to call; bin/gantry-runtime is a shell script before it.
  const programs = [`${project}/build/native/gantry-runtime`, ...(runc === undefined ? [] : ["runc"]), ...(crun === undefined ? [] : ["crun"])];
  const { runs: samples, rates } = JSON.parse(machine.run(process.execPath, `${project}/bench/rows/runtime-inside.ts`, bundle, machine.folder, ...programs)) as Measured;
  const [times, inProcess] = [samples.slice(0, -1).map(stat), stat(samples.at(-1)!)];
  const peer = runc === undefined ? "runc missing" : `runc ${runc}`;
  const theirs = runc === undefined ? undefined : { theirs: times[1]! };
  const second = crun === undefined ? [] : [
    compare({ id: "8d", what: "runtime command line: run of true", unit: "ms", ours: times[0]!, peer: `crun ${crun}`, theirs: times.at(-1)! }),
    compare({ id: "8e", what: "creates, 16 at a time, 5 times 40, by the command line", unit: "/s", ours: stat(rates[0]!), peer: `crun ${crun}`, theirs: stat(rates.at(-1)!) }),
  ];
  return [
    compare({ id: "8a", what: "runtime command line: run of true", unit: "ms", ours: times[0]!, peer, ...theirs, target: { most: 0.5 }, ...(crun === undefined && { note: "crun is missing or does not run here; Debian's refuses hybrid cgroups" }) }),
    compare({ id: "8b", what: "the same in a process that is there, against the peer's command line", unit: "ms", ours: inProcess, peer, ...theirs, target: { most: 0.2 } }),
    compare({ id: "8c", what: "creates, 16 at a time, 5 times 40, by the command line", unit: "/s", ours: stat(rates[0]!), peer, ...(runc !== undefined && { theirs: stat(rates[1]!) }), target: { least: 1 } }),
    ...second,
  ];
}

function runs(machine: Machine, program: string, bundle: string): boolean {
  try {
    machine.run(program, "--root", `${machine.folder}/try`, "run", "--bundle", bundle, "try");
    return true;
  } catch {
    return false;
  }
}
