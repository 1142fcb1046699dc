/** Row 7: exec of `true` in a running container: create, start until its end, inspect. */
import { buffer } from "node:stream/consumers";
import type { Engine } from "../../test/harness/engine.ts";
import { type Engines, startIdle } from "../engines.ts";
import { compare, inTurn, type Line } from "../measure.ts";

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const calls = await Promise.all(both.map(async (engine) => ({ engine, id: await startIdle(engine) })));
  const programs = calls.map(({ engine, id }) => () => execTrue(engine, id));
  const lines: Line[] = [];
  for (const [letter, how, rounds, block] of [["a", "20 of ours, 20 of the peer, in turn", 10, 20], ["b", "one of ours, one of the peer, in turn", 200, 1]] as const) {
    const [ours, theirs] = await inTurn(rounds, programs, block);
    lines.push(compare({ id: `7${letter}`, what: `exec of true: create + start + inspect; ${how}`, unit: "ms", ours: ours!, peer: engines.peerName, ...(theirs && { theirs }), target: { most: 0.07 } }));
  }
  return lines;
}

export async function execTrue(engine: Engine, id: string): Promise<void> {
  const { Id } = await engine.api.json("POST", `/containers/${id}/exec`, { json: { Cmd: ["true"], AttachStdout: true, AttachStderr: true } });
  await buffer(await engine.api.hijack(`/exec/${Id}/start`, { Detach: false, Tty: false }));
  const { ExitCode } = await engine.api.json("GET", `/exec/${Id}/json`);
  if (ExitCode !== 0) throw new Error(`exec of true ended with ${ExitCode}`);
}
