/**
 * What a container's network costs its start and its end: node bench/network-endpoints.ts [COUNT]
 *
 * Joins and leaves through the engine's networks, in a namespace of its own that plays the host, so nothing of the machine
 * is touched. Prints medians with the 10th and 90th percentile, in milliseconds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_NETWORK_FLAGS, openNetworks } from "../src/cmd/networks.ts";
import { emptyConfig, emptyHostConfig } from "../src/core/container-config.ts";
import type { ContainerRecord } from "../src/core/container.ts";
import type { Networks } from "../src/engine/networks/networks.ts";
import { networkMigrations } from "../src/engine/networks/store.ts";
import { notFound } from "../src/lib/errors.ts";
import { openDatabase } from "../src/sys/database.ts";
import { openNetworkKernel } from "../src/sys/netlink/kernel.ts";
import { createSocketPlugins } from "../src/drivers/plugins-socket/index.ts";

const count = Number(process.argv[2] ?? 100);
const root = mkdtempSync(join(tmpdir(), "gantry-bench-net-"));
const host = await openNetworkKernel().createSandbox();

const container = (id: string, mode: string): ContainerRecord =>
  ({ id, name: id, config: { ...emptyConfig(), Hostname: id }, hostConfig: { ...emptyHostConfig(), NetworkMode: mode }, networkingConfig: { EndpointsConfig: null } }) as unknown as ContainerRecord;

function percentiles(samples: number[]): string {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): string => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!.toFixed(2);
  return `${at(0.5)} [${at(0.1)}-${at(0.9)}]`;
}

async function open(poolSize: number): Promise<Networks> {
  return openNetworks({
      plugins: createSocketPlugins(),
    database: openDatabase(join(root, `${poolSize}.db`), networkMigrations),
    dataRoot: `${root}/${poolSize}`,
    flags: DEFAULT_NETWORK_FLAGS,
    events: { emit: () => {} },
    findContainer: (ref) => {
      throw notFound(`No such container: ${ref}`);
    },
    saveContainer: () => {},
    containerFolder: (id) => join(root, "containers", id),
    warn: (message) => console.error(message),
    netns: host.fd,
    poolSize,
  });
}

/** One at a time, with a pause in which what is prepared ahead is made again. */
async function oneByOne(networks: Networks, mode: string, pauseMs: number): Promise<{ join: string; leave: string }> {
  const [joins, leaves]: [number[], number[]] = [[], []];
  for (let index = 0; index < count; index++) {
    const record = container(`${mode}${index % 10}`, mode);
    let begun = performance.now();
    await networks.connect(record);
    joins.push(performance.now() - begun);
    networks.started(record);
    begun = performance.now();
    await networks.disconnect(record);
    leaves.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return { join: percentiles(joins), leave: percentiles(leaves) };
}

async function atOnce(networks: Networks, width: number): Promise<string> {
  const begun = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) {
        const record = container(`many${next++}`, "bridge");
        await networks.connect(record);
        networks.started(record);
        await networks.disconnect(record);
      }
    }),
  );
  return `${Math.round((count / (performance.now() - begun)) * 1000)}/s`;
}

const rows: Record<string, { join: string; leave: string }> = {};
for (const [name, poolSize, mode] of [["bridge, prepared", 8, "bridge"], ["bridge, not prepared", 0, "bridge"], ["none", 0, "none"], ["host", 0, "host"]] as const) {
  const networks = await open(poolSize);
  await networks.prepared();
  rows[name] = await oneByOne(networks, mode, poolSize > 0 ? 60 : 10);
  if (mode === "bridge") rows[`${name}, 16 at a time`] = { join: await atOnce(networks, 16), leave: "" };
  await networks.close();
}
console.table(rows);
host.close();
rmSync(root, { recursive: true, force: true });
