/** The traffic program of the network rows (net.c), and containers that run it. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { Engine } from "../test/harness/engine.ts";
import type { Machine } from "../test/harness/machine.ts";

/** Its path, inside the machine and outside. */
export function buildTraffic(machine: Machine): string {
  const program = join(machine.folder, "net");
  execFileSync("cc", ["-O2", "-static", "-o", program, join(import.meta.dirname, "net.c")]);
  return program;
}

/** A container that serves at the port, published at another where asked; its id. */
export async function trafficServer(engine: Engine, program: string, { port, published, network = "bridge", name }: { port: number; published?: number; network?: string; name?: string }): Promise<string> {
  const bindings = published === undefined ? {} : { PortBindings: { [`${port}/tcp`]: [{ HostPort: String(published) }] } };
  const query = name === undefined ? {} : { query: { name } };
  const { Id } = await engine.api.json("POST", "/containers/create", { ...query, json: { Image: "busybox", Cmd: ["/net", "serve", String(port)], HostConfig: { Binds: [`${program}:/net:ro`], NetworkMode: network, ...bindings } } });
  await engine.api.json("POST", `/containers/${Id}/start`);
  return Id as string;
}

/** The path of its network namespace inside the machine. */
export const netnsOf = async (engine: Engine, id: string): Promise<string> => `/proc/${(await engine.api.json("GET", `/containers/${id}/json`)).State.Pid}/ns/net`;
