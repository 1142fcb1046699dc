/** Row 13: many published ports, what a bridge adds to a start, and many networks. */
import { type Engine, startedEngine } from "../../test/harness/engine.ts";
import { type Engines, ours, peer, remove } from "../engines.ts";
import { compare, type Line, milliseconds, rest, stat, type Stat, together } from "../measure.ts";
import { memoryMB } from "./fleet.ts";

const present = 2000;
const each = 100;
const networks = 200;
const rounds = 5;
/** So long ports are published beforehand at most, and so long samples are taken: a peer may take a second for each port. */
const patience = 45_000;
/** After so long at rest the daemon has given back what it does not need. */
const calm = 35_000;

export async function run(engines: Engines): Promise<Line[]> {
  const own = await alone(ours, async (engine) => ({ range: await wideRange(engine), bridge: await bridgeCost(engine), nets: await manyNetworks(engine), many: await manyPorts(engine) }));
  const theirs = (await engines.peer()) === undefined ? undefined : { plain: await peerSide(["--userland-proxy=false"], true), proxied: await peerSide([], false) };
  await engines.reset();
  const line = (id: string, what: string, side: { ours: ManyPorts; theirs?: ManyPorts | undefined }, name: string): Line =>
    compare({ id, what, unit: "ms", ours: side.ours.time, peer: theirs ? name : engines.peerName, ...(side.theirs ? { theirs: side.theirs.time } : {}), target: { most: 0.05 }, ...noteOf(side.theirs, name) });
  const what = `start with ${each} published ports while ${present} are published`;
  const limited = (id: string, text: string, unit: Line["unit"], value: Stat, limit: number): Line => ({ id, what: text, unit, ours: value, peer: `limit ${limit} ${unit}`, ratio: value.median / limit, target: { most: 1 } });
  return [
    line("13a", what, { ours: own.many, theirs: theirs?.plain.many }, `${engines.peerName} without its proxy`),
    line("13b", what, { ours: own.many, theirs: theirs?.proxied.many }, `${engines.peerName} with its proxy`),
    limited("13c", "start with -p 10000-14999:10000-14999", "ms", own.range.time, 100),
    limited("13d", "memory (PSS) that these 5,000 ports add", "MB", own.range.memory, 5),
    limited("13e", "start with a bridge, more than with --network none", "ms", own.bridge, 3),
    compare({ id: "13f", what: `${networks} networks created and removed, 16 at a time`, unit: "/s", ours: own.nets, peer: engines.peerName, ...(theirs?.plain.nets ? { theirs: theirs.plain.nets } : {}) }),
  ];
}

/** Fewer ports than ours has are in the peer's favour. */
function noteOf(theirs: ManyPorts | undefined, name: string): { note?: string } {
  return theirs === undefined || theirs.published === present ? {} : { note: `${name} had published ${theirs.published} after ${patience / 1000} s, and was measured with these` };
}

async function alone<Value>(options: Parameters<typeof startedEngine>[0], body: (engine: Engine) => Promise<Value>): Promise<Value> {
  const engine = await startedEngine(options);
  try {
    return await body(engine);
  } finally {
    engine.api.close();
    await engine.machine[Symbol.asyncDispose]();
  }
}

const peerSide = (flags: string[], withNetworks: boolean): Promise<{ many: ManyPorts; nets: Stat | undefined }> =>
  alone({ ...peer, flags }, async (engine) => {
    const nets = withNetworks ? await manyNetworks(engine) : undefined;
    return { many: await manyPorts(engine), nets };
  });

async function create(engine: Engine, hostConfig: object): Promise<string> {
  const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sleep", "100000"], HostConfig: hostConfig } });
  return Id as string;
}

const start = (engine: Engine, id: string): Promise<number> => milliseconds(() => engine.api.json("POST", `/containers/${id}/start`, { timeoutMs: 600_000 }));

/** Ports that do not keep their numbers: each is one of its own, for every engine. */
const bindings = (first: number): object => ({ PortBindings: Object.fromEntries(Array.from({ length: each }, (_, index) => [`${1000 + index}/tcp`, [{ HostIp: "0.0.0.0", HostPort: String(first + index) }]])) });

interface ManyPorts {
  time: Stat;
  /** Before each start. */
  published: number;
}

/** Those that are published stay so: the machine ends soon. */
async function manyPorts(engine: Engine): Promise<ManyPorts> {
  const deadline = performance.now() + patience;
  let published = 0;
  for (; published < present && performance.now() < deadline; published += each) await start(engine, await create(engine, bindings(20_000 + published)));
  const samples: number[] = [];
  const end = performance.now() + patience;
  for (let round = 0; round <= rounds && (samples.length === 0 || performance.now() < end); round++) {
    const id = await create(engine, bindings(20_000 + present));
    const took = await start(engine, id);
    if (round > 0) samples.push(took);
    await remove(engine, id);
    await rest(200);
  }
  return { time: stat(samples), published };
}

async function wideRange(engine: Engine): Promise<{ time: Stat; memory: Stat }> {
  const [times, sizes]: [number[], number[]] = [[], []];
  const range = { PortBindings: Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`${10_000 + index}/tcp`, [{ HostPort: String(10_000 + index) }]])) };
  for (let round = 0; round <= rounds; round++) {
    const id = await create(engine, range);
    await rest(1000);
    const took = await start(engine, id);
    if (round > 0) times.push(took);
    await remove(engine, id);
  }
  const id = await create(engine, range);
  await rest(calm);
  const before = memoryMB(engine);
  await start(engine, id);
  await rest(calm);
  sizes.push(memoryMB(engine) - before);
  await remove(engine, id);
  return { time: stat(times), memory: stat(sizes) };
}

/** In pairs, so that a noisy moment meets both. */
async function bridgeCost(engine: Engine): Promise<Stat> {
  const differences: number[] = [];
  for (let round = 0; round <= 40; round++) {
    const times: number[] = [];
    for (const NetworkMode of ["none", "bridge"]) {
      const id = await create(engine, { NetworkMode });
      times.push(await start(engine, id));
      await remove(engine, id);
      await rest(100);
    }
    if (round > 0) differences.push(times[1]! - times[0]!);
  }
  return stat(differences);
}

/** Pools of their own: those that are there by default have fewer subnets. */
async function manyNetworks(engine: Engine): Promise<Stat> {
  const samples: number[] = [];
  const end = performance.now() + patience;
  for (let round = 0; round < 3 && (round === 0 || performance.now() < end); round++) {
    const numbers = Array.from({ length: networks }, (_, index) => index);
    const took = await together(numbers, 16, async (index) => {
      const { Id } = await engine.api.json("POST", "/networks/create", { json: { Name: `many${index}`, IPAM: { Config: [{ Subnet: `10.100.${index}.0/24` }] } } });
      await engine.api.json("DELETE", `/networks/${Id}`);
    });
    samples.push(networks / (took / 1000));
  }
  return stat(samples);
}
