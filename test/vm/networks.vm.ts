/** Networks whose interfaces this kernel has: ipvlan in its modes, and VLANs of 802.1q below ipvlan and macvlan. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Engine } from "../harness/engine.ts";
import { withEngine } from "../harness/engine.ts";

interface Kind {
  driver: string;
  options: Record<string, string>;
  subnet: string;
  /** Whether containers of the network reach each other. */
  together?: false;
  /** Whom containers reach: the machine's neighbour, beyond eth0. */
  neighbour: string;
  /** What is done to the neighbour before, by ip(8). */
  prepare: string[][];
  /** Of the container's interface. */
  shown: RegExp;
}

const routed = (subnet: string): string[] => ["route", "add", subnet, "via", "10.231.0.2"];
const vlan = (id: number, address: string): string[][] => [["link", "add", "link", "eth0", "name", `eth0.${id}`, "type", "vlan", "id", String(id)], ["addr", "add", address, "dev", `eth0.${id}`], ["link", "set", `eth0.${id}`, "up"]];

const kinds: Record<string, Kind> = {
  "ipvlan l2": { driver: "ipvlan", options: { parent: "eth0", ipvlan_mode: "l2" }, subnet: "10.231.0.0/24", neighbour: "10.231.0.1", prepare: [], shown: /ipvlan\s+mode l2 bridge/ },
  "ipvlan l3": { driver: "ipvlan", options: { parent: "eth0", ipvlan_mode: "l3" }, subnet: "192.0.2.0/24", neighbour: "10.231.0.1", prepare: [routed("192.0.2.0/24")], shown: /ipvlan\s+mode l3 bridge/ },
  "ipvlan l3s": { driver: "ipvlan", options: { parent: "eth0", ipvlan_mode: "l3s" }, subnet: "198.51.100.0/24", neighbour: "10.231.0.1", prepare: [routed("198.51.100.0/24")], shown: /ipvlan\s+mode l3s bridge/ },
  "ipvlan private": { driver: "ipvlan", options: { parent: "eth0", ipvlan_mode: "l2", ipvlan_flag: "private" }, subnet: "10.231.0.0/24", neighbour: "10.231.0.1", prepare: [], together: false, shown: /ipvlan\s+mode l2 private/ },
  "ipvlan on a VLAN": { driver: "ipvlan", options: { parent: "eth0.20" }, subnet: "203.0.113.0/24", neighbour: "203.0.113.1", prepare: vlan(20, "203.0.113.1/24"), shown: /ipvlan\s+mode l2 bridge/ },
  "macvlan on a VLAN": { driver: "macvlan", options: { parent: "eth0.30" }, subnet: "203.0.114.0/24", neighbour: "203.0.114.1", prepare: vlan(30, "203.0.114.1/24"), shown: /macvlan\s+mode bridge/ },
};

test("containers reach neighbours and siblings; parents that were made go", async () => {
  await withEngine(async (engine) => {
    for (const [name, kind] of Object.entries(kinds)) await useNetwork(engine, name, kind);
    const refused = await engine.api.send("POST", "/networks/create", { json: { Name: "bad", Driver: "ipvlan", Options: { parent: "eth0.4095" } } });
    assert.match(refused.body.toString(), /vlan id must be between 1-4094, received: 4095/);
  });
});

async function useNetwork({ machine, api }: Engine, name: string, { driver, options, subnet, neighbour, prepare, together, shown }: Kind): Promise<void> {
  for (const line of prepare) machine.run("ip", "-n", "gateway", ...line);
  const address = (last: number): string => subnet.replace(/0\/24$/, String(last));
  const { Id: network } = await api.json("POST", "/networks/create", { json: { Name: "under-test", Driver: driver, Options: options, IPAM: { Config: [{ Subnet: subnet, ...(subnet.startsWith("10.231") && { Gateway: neighbour }) }] } } });
  const started = async (last: number, Cmd: string[]): Promise<string> => {
    const endpoint = { IPAMConfig: { IPv4Address: address(last) } };
    const { Id } = await api.json("POST", "/containers/create", { json: { Image: "busybox", Tty: true, Cmd, HostConfig: { NetworkMode: "under-test" }, NetworkingConfig: { EndpointsConfig: { "under-test": endpoint } } } });
    await api.json("POST", `/containers/${Id}/start`);
    return Id;
  };
  const sibling = await started(101, ["sleep", "1000"]);
  const { State } = await api.json("GET", `/containers/${sibling}/json`);
  assert.match(machine.run("nsenter", "-t", String(State.Pid), "--net", "ip", "-d", "-o", "link", "show", "eth0"), shown, name);
  // What is not there yet, a neighbour's entry or a port of the bridge, may cost a packet.
  const far = `ping -c 1 -W 10 ${neighbour} || ping -c 2 -W 10 ${neighbour}`;
  const near = together === false ? `! ping -c 1 -W 2 ${address(101)}` : `ping -c 1 -W 10 ${address(101)} || ping -c 2 -W 10 ${address(101)}`;
  const one = await started(102, ["sh", "-c", `(${far}) && (${near})`]);
  const { StatusCode } = await api.json("POST", `/containers/${one}/wait`);
  const { body } = await api.send("GET", `/containers/${one}/logs`, { query: { stdout: true } });
  assert.equal(StatusCode, 0, `${name}: ${body.toString()}`);
  const made = options["parent"]!.split(".")[1];
  const links = (): string => machine.run("ip", "-d", "-o", "link");
  if (made !== undefined) assert.match(links(), new RegExp(`eth0\\.${made}@eth0.*vlan protocol 802\\.1Q id ${made} `), name);
  for (const id of [one, sibling]) await api.json("DELETE", `/containers/${id}`, { query: { force: true } });
  await api.json("DELETE", `/networks/${network}`);
  assert.doesNotMatch(links(), /eth0\.\d/, name);
}
