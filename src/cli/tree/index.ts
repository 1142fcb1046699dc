/** Where each first word of a command line is described. Tables are loaded only when one of their words is used. */
import type { CommandTable } from "./types.ts";

type Load = () => Promise<{ COMMANDS: CommandTable }>;

const container: Load = () => import("./container.ts");
const image: Load = () => import("./image.ts");
const system: Load = () => import("./system.ts");
const network: Load = () => import("./network.ts");
const swarm: Load = () => import("./swarm.ts");

/** Management groups and commands without a group, by name. */
export const TOP_LEVEL: Record<string, Load> = {
  bake: system,
  builder: system,
  checkpoint: system,
  check: system,
  completion: system,
  config: swarm,
  container,
  context: system,
  help: system,
  image,
  inspect: system,
  login: system,
  logout: system,
  manifest: network,
  network,
  node: swarm,
  plugin: network,
  search: system,
  secret: swarm,
  service: swarm,
  stack: swarm,
  swarm,
  system,
  version: system,
  volume: network,
};

/** Commands of a group that also stand alone: `ps` is `container ls`. */
export const SHORTCUTS: Record<string, string> = {
  attach: "container attach",
  build: "builder build",
  commit: "container commit",
  cp: "container cp",
  create: "container create",
  diff: "container diff",
  events: "system events",
  exec: "container exec",
  export: "container export",
  history: "image history",
  images: "image ls",
  import: "image import",
  info: "system info",
  kill: "container kill",
  load: "image load",
  logs: "container logs",
  pause: "container pause",
  port: "container port",
  ps: "container ls",
  pull: "image pull",
  push: "image push",
  rename: "container rename",
  restart: "container restart",
  rm: "container rm",
  rmi: "image rm",
  run: "container run",
  save: "image save",
  start: "container start",
  stats: "container stats",
  stop: "container stop",
  tag: "image tag",
  top: "container top",
  unpause: "container unpause",
  update: "container update",
  wait: "container wait",
};

/** Programs of their own that Docker's client runs as its commands. */
export const PLUGINS: ReadonlySet<string> = new Set(["ai", "buildx", "cloud", "compose", "debug", "desktop", "extension", "init", "mcp", "model", "offload", "pass", "sandbox", "sbom", "scan", "scout", "trust"]);

/** Flags of the program itself, before the command. */
export const GLOBAL_FLAGS = "config:string context/c:string debug/D host/H:string log-level/l:string=info tls tlscacert:string tlscert:string tlskey:string tlsverify version/v help/h";
