/** Row 8: the OCI runtime's command line alone: `run` of `true` from a bundle. */
import { promisify } from "node:util";
import { execFile } from "node:child_process";
import { project } from "../../test/harness/engine.ts";
import { Machine } from "../../test/harness/machine.ts";
import { makeBundle, programVersion } from "../engines.ts";
import { compare, inTurn, type Line } from "../measure.ts";

const execute = promisify(execFile);

export async function run(): Promise<Line[]> {
  await using machine = await Machine.create();
  const bundle = makeBundle(machine);
  let serial = 0;
  const runtime = (program: string) => async (): Promise<void> => {
    const [command, args] = machine.command([program, "--root", `${machine.folder}/runtime`, "run", "--bundle", bundle, `b${serial++}`]);
    await execute(command, args);
  };
  const version = programVersion("runc", /runc version (\S+)/);
  const [ours, theirs] = await inTurn(20, [runtime(`${project}/bin/gantry-runtime`), ...(version === undefined ? [] : [runtime("runc")])]);
  return [compare({ id: "8", what: "runtime command line: run of true", unit: "ms", ours: ours!, peer: version === undefined ? "runc missing" : `runc ${version}`, ...(theirs && { theirs }), target: { most: 0.5 }, note: "includes 3 ms of entering the test machine, on both sides" })];
}
