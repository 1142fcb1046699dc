/** Rows 2, 3 and 16: command lines, from their start to their end. */
import { Cli, which } from "../../test/harness/cli.ts";
import { type Engine, project } from "../../test/harness/engine.ts";
import { type Engines, programVersion } from "../engines.ts";
import { compare, inTurn, type Line } from "../measure.ts";

const own = `${project}/bin/gantry`;

export async function run(engines: Engines): Promise<Line[]> {
  const both = await engines.both();
  const stock = which("docker");
  const args = ["run", "--rm", "busybox", "true"];
  const stockOnPeer = stock === undefined ? undefined : both[1];
  const peer = `stock CLI ${programVersion("docker", /version ([\d.]+)/) ?? "missing"}, ${engines.peerName}`;
  const calls = [new Cli(own, both[0]), ...(stock === undefined ? [] : [new Cli(stock, both[0])]), ...(stockOnPeer === undefined ? [] : [new Cli(stock!, stockOnPeer)])];
  const stats = await inTurn(20, calls.map((cli) => () => cli.ok(...args)));
  const theirs = stockOnPeer === undefined ? {} : { theirs: stats[2]! };
  return [
    ...(stock === undefined ? [] : [compare({ id: "2", what: "stock CLI: run --rm IMAGE true", unit: "ms", ours: stats[1]!, peer, ...theirs, target: { most: 0.15 } })]),
    compare({ id: "3", what: "own CLI: run --rm IMAGE true", unit: "ms", ours: stats[0]!, peer, ...theirs, target: { most: 0.2 } }),
    ...(await clientStart(both[0], stock)),
  ];
}

async function clientStart(engine: Engine, stock: string | undefined): Promise<Line[]> {
  const lines: Line[] = [];
  for (const [letter, args] of [["a", ["version"]], ["b", ["ps"]]] as const) {
    const calls = [own, ...(stock === undefined ? [] : [stock])].map((program) => new Cli(program, engine)).map((cli) => () => cli.ok(...args));
    const [ours, theirs] = await inTurn(30, calls);
    lines.push(compare({ id: `16${letter}`, what: `client: ${args.join(" ")}`, unit: "ms", ours: ours!, peer: stock === undefined ? "docker CLI missing" : "stock CLI, same daemon", ...(theirs && { theirs }), target: { most: 2 } }));
  }
  return lines;
}
