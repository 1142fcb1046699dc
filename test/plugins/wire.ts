/**
 * A small real plugin: networks on Linux bridges, addresses, volumes in folders, and what clients may do, by Docker's legacy protocols. Run as a
 * program with the socket's path and a folder for its state and for a log of what it was asked.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";

interface State {
  networks: Record<string, { bridge: string; gateway: string }>;
  pools: Record<string, { subnet: string; taken: string[] }>;
  volumes: Record<string, { users: string[] }>;
}

type Asked = Record<string, unknown>;

const [socket = "", folder = ""] = process.argv.slice(2);
const file = join(folder, "state.json");
const state: State = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as State) : { networks: {}, pools: {}, volumes: {} };

const ip = (...args: string[]): string => execFileSync("ip", args, { encoding: "utf8" });
const short = (id: unknown): string => String(id).slice(0, 8);

/** Throws for one that there is not. */
function volumeOf(name: unknown): State["volumes"][string] {
  const volume = state.volumes[String(name)];
  if (!volume) throw new Error("no such volume here");
  return volume;
}

const textOf = (base64: unknown): string => Buffer.from(String(base64 ?? ""), "base64").toString();
const folderOf = (name: unknown): string => join(folder, "volumes", String(name));

function shown(name: string): object {
  const { users } = volumeOf(name);
  return { Name: name, Mountpoint: users.length > 0 ? folderOf(name) : "", Status: { users: users.length } };
}

const METHODS: Record<string, (asked: Asked) => object> = {
  "Plugin.Activate": () => ({ Implements: ["NetworkDriver", "IpamDriver", "VolumeDriver", "authz"] }),
  "NetworkDriver.GetCapabilities": () => ({ Scope: "local", ConnectivityScope: "local" }),
  "NetworkDriver.CreateNetwork": ({ NetworkID: id, IPv4Data: data, Options: options }) => {
    if (state.networks[String(id)]) throw new Error("this network is there");
    const generic = (options as Record<string, Record<string, string>>)["com.docker.network.generic"] ?? {};
    if (generic["wire.fail"] !== undefined) throw new Error(generic["wire.fail"]);
    const bridge = `wire-${short(id)}`;
    const gateway = (data as { Gateway: string }[])[0]?.Gateway ?? "";
    ip("link", "add", bridge, "type", "bridge");
    ip("addr", "add", gateway, "dev", bridge);
    ip("link", "set", bridge, "up");
    state.networks[String(id)] = { bridge, gateway };
    return {};
  },
  "NetworkDriver.DeleteNetwork": ({ NetworkID: id }) => {
    const network = state.networks[String(id)];
    if (network) ip("link", "del", network.bridge);
    delete state.networks[String(id)];
    return {};
  },
  "NetworkDriver.CreateEndpoint": () => ({ Interface: {} }),
  "NetworkDriver.Join": ({ NetworkID: id, EndpointID: endpoint }) => {
    const { bridge, gateway } = state.networks[String(id)] ?? { bridge: "", gateway: "" };
    ip("link", "add", `wh${short(endpoint)}`, "type", "veth", "peer", "name", `wc${short(endpoint)}`);
    ip("link", "set", `wh${short(endpoint)}`, "master", bridge, "up");
    return { InterfaceName: { SrcName: `wc${short(endpoint)}`, DstPrefix: "eth" }, Gateway: gateway.split("/")[0] };
  },
  "NetworkDriver.Leave": () => ({}),
  "NetworkDriver.DeleteEndpoint": ({ EndpointID: endpoint }) => {
    if (ip("-o", "link").includes(` wh${short(endpoint)}@`)) ip("link", "del", `wh${short(endpoint)}`);
    return {};
  },
  "IpamDriver.GetDefaultAddressSpaces": () => ({ LocalDefaultAddressSpace: "WireLocal", GlobalDefaultAddressSpace: "WireGlobal" }),
  "IpamDriver.RequestPool": ({ Pool: asked, Options: options }) => {
    const subnet = asked === "" ? `10.99.${Object.keys(state.pools).length}.0/24` : String(asked);
    const id = `WireLocal/${subnet}${(options as Record<string, string>)["flavour"] ?? ""}`;
    if (state.pools[id]) throw new Error(`${subnet} is given out`);
    state.pools[id] = { subnet, taken: [] };
    return { PoolID: id, Pool: subnet, Data: {} };
  },
  "IpamDriver.ReleasePool": ({ PoolID: id }) => {
    delete state.pools[String(id)];
    return {};
  },
  "IpamDriver.RequestAddress": ({ PoolID: id, Address: asked, Options: options }) => {
    const pool = state.pools[String(id)];
    if (!pool) throw new Error("no such pool");
    const base = pool.subnet.replace(/\d+\/24$/, "");
    const first = (options as Record<string, string>)["RequestAddressType"] === "com.docker.network.gateway" ? 254 : 7;
    const numbers = [first, ...Array.from({ length: 240 }, (_, index) => index + 8)];
    const address = asked === "" ? numbers.map((number) => `${base}${number}`).find((candidate) => !pool.taken.includes(candidate)) : String(asked);
    if (address === undefined || pool.taken.includes(address)) throw new Error(`${String(asked)} is given out`);
    pool.taken.push(address);
    return { Address: `${address}/24`, Data: {} };
  },
  "IpamDriver.ReleaseAddress": ({ PoolID: id, Address: address }) => {
    const pool = state.pools[String(id)];
    if (pool) pool.taken = pool.taken.filter((taken) => taken !== address);
    return {};
  },
  // Nobody makes privileged containers, or sees those of the name "hidden".
  "AuthZPlugin.AuthZReq": ({ RequestBody: body }) => (textOf(body).includes('"Privileged":true') ? { Allow: false, Msg: "no privileges here" } : { Allow: true }),
  "AuthZPlugin.AuthZRes": ({ RequestMethod: method, RequestUri: uri, ResponseBody: body }) => {
    if (String(uri).endsWith("/version")) throw new Error("the ledger is full");
    return method === "GET" && textOf(body).includes('"/hidden"') ? { Allow: false, Msg: "not for you" } : { Allow: true };
  },
  "VolumeDriver.Capabilities": () => ({ Capabilities: { Scope: "global" } }),
  "VolumeDriver.Create": ({ Name: name, Opts: options }) => {
    const refusal = (options as Record<string, string> | null)?.["fail"];
    if (refusal !== undefined) throw new Error(refusal);
    state.volumes[String(name)] ??= { users: [] };
    mkdirSync(folderOf(name), { recursive: true });
    return {};
  },
  "VolumeDriver.Remove": ({ Name: name }) => {
    volumeOf(name);
    rmSync(folderOf(name), { recursive: true });
    delete state.volumes[String(name)];
    return {};
  },
  "VolumeDriver.Get": ({ Name: name }) => ({ Volume: shown(String(name)) }),
  "VolumeDriver.List": () => ({ Volumes: Object.keys(state.volumes).map(shown) }),
  "VolumeDriver.Mount": ({ Name: name, ID: user }) => {
    volumeOf(name).users.push(String(user));
    return { Mountpoint: folderOf(name) };
  },
  "VolumeDriver.Unmount": ({ Name: name, ID: user }) => {
    const volume = volumeOf(name);
    if (!volume.users.includes(String(user))) throw new Error(`${String(user)} has not mounted it`);
    volume.users = volume.users.filter((one) => one !== user);
    return {};
  },
};

mkdirSync(dirname(socket), { recursive: true });
rmSync(socket, { force: true });
createServer((req, res) => {
  let body = "";
  req.on("data", (chunk: Buffer) => (body += chunk.toString()));
  req.on("end", () => {
    const method = (req.url ?? "").slice(1);
    appendFileSync(join(folder, "log"), `${method} ${body}\n`);
    try {
      const answer = METHODS[method]?.(JSON.parse(body || "{}") as Asked);
      if (answer === undefined) return res.writeHead(404).end("no such method");
      writeFileSync(file, JSON.stringify(state));
      res.end(JSON.stringify(answer));
    } catch (error) {
      res.writeHead(500).end(JSON.stringify({ Err: (error as Error).message.split("\n")[0] }));
    }
  });
}).listen(socket);
