/**
 * The daemon's side of the name service: knows everything that shall be answered, tells the server's process, starts one when
 * a sandbox needs it, takes up the one that an earlier daemon started, and tells all anew when it had to start another.
 */
import { openSync } from "node:fs";
import type { EgressDenial, EndpointNames, NameService, NameServiceState, SandboxView, ServedSandbox } from "../../core/name-service.ts";
import { invalidParameter, messageOf, systemError } from "../../lib/errors.ts";
import { Netns } from "../../sys/netlink/netns.ts";
import { ServerLink, dial } from "./link.ts";
import { inodeOf } from "./served-sandbox.ts";
import { SERVER_ADDRESS } from "./sockets.ts";
import { SERVER_VERSION, wireEndpoint, wireView } from "./wire.ts";
import type { Request, WireEndpoint, WireSandbox } from "./wire.ts";

export interface EmbeddedDnsOptions {
  socketPath: string;
  /** Starts the server's process; resolves when it listens at the path. */
  start: (socketPath: string) => Promise<void>;
  /** false: no firewall rules may be made, and sandboxes with limits are refused. */
  firewall?: boolean;
  /** A limited sandbox was denied something. */
  denied?: (denial: EgressDenial) => void;
  /** Something of the server's was made again after another program took it away. */
  repaired?: (what: string) => void;
  warn: (message: string) => void;
}

export interface EmbeddedDns extends NameService {
  /** Lets go of this process's part. The server goes on. */
  close(): void;
}

interface Served {
  /** Of our own, for a server that has to be told again. */
  netns: Netns;
  view: SandboxView;
}

const ATTEMPTS = 3;
const RETRY_MS = [20, 200, 1000, 5000];

export function createEmbeddedDns(options: EmbeddedDnsOptions): EmbeddedDns {
  return new Client(options);
}

class Client implements EmbeddedDns {
  readonly address = SERVER_ADDRESS;
  readonly #options: EmbeddedDnsOptions;
  readonly #endpoints = new Map<string, WireEndpoint>();
  readonly #sandboxes = new Map<string, Served>();
  #link: ServerLink | undefined;
  #connecting: Promise<ServerLink> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: EmbeddedDnsOptions) {
    this.#options = options;
  }

  async restore({ endpoints, sandboxes }: NameServiceState): Promise<void> {
    this.#endpoints.clear();
    for (const served of this.#sandboxes.values()) served.netns.close();
    this.#sandboxes.clear();
    for (const { names, ...endpoint } of endpoints) this.#endpoints.set(keyOf(endpoint), wireEndpoint(endpoint, names));
    for (const { sandbox, view } of sandboxes) this.#sandboxes.set(sandbox.id, { netns: copyOf(sandbox.netnsFd), view });
    this.#link?.close();
    this.#link = undefined;
    if (this.#sandboxes.size > 0 || (await this.#isRunning())) await this.#connected();
  }

  setEndpoint(endpoint: { networkId: string; endpointId: string }, names: EndpointNames | undefined): Promise<void> {
    const wire = wireEndpoint(endpoint, names);
    if (names) this.#endpoints.set(keyOf(endpoint), wire);
    else this.#endpoints.delete(keyOf(endpoint));
    return this.#tell({ op: "endpoint", endpoint: wire });
  }

  async attach({ id, netnsFd }: ServedSandbox, view: SandboxView): Promise<void> {
    this.#check(view);
    const netns = copyOf(netnsFd);
    this.#sandboxes.get(id)?.netns.close();
    this.#sandboxes.set(id, { netns, view });
    await this.#tell({ op: "attach", sandbox: this.#wireSandbox(id) });
  }

  async setView(id: string, view: SandboxView): Promise<void> {
    const served = this.#sandboxes.get(id);
    if (!served) return;
    this.#check(view);
    served.view = view;
    await this.#tell({ op: "view", id, view: wireView(view) });
  }

  async detach(id: string): Promise<void> {
    const served = this.#sandboxes.get(id);
    if (!served) return;
    this.#sandboxes.delete(id);
    served.netns.close();
    await this.#tell({ op: "detach", id });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#link?.close();
    for (const { netns } of this.#sandboxes.values()) netns.close();
    this.#sandboxes.clear();
  }

  #check({ egress }: SandboxView): void {
    if (egress && this.#options.firewall === false) throw invalidParameter("egress rules are firewall rules, which --iptables=false keeps this daemon from making");
  }

  /** A new server is told everything, this too; while there is none and none is needed, it is enough to know. */
  async #tell(request: Request): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (!this.#link && !this.#connecting && this.#sandboxes.size === 0) return;
      const link = this.#link ?? (await this.#connected());
      try {
        return await link.ask(request);
      } catch (error) {
        if (link.open || attempt === ATTEMPTS) throw systemError(`the name server: ${messageOf(error)}`, error);
      }
    }
  }

  async #isRunning(): Promise<boolean> {
    const socket = await dial(this.#options.socketPath);
    socket?.destroy();
    return socket !== undefined;
  }

  #connected(): Promise<ServerLink> {
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  /** With the server that runs, where it is of our version, else with a new one. */
  async #connect(): Promise<ServerLink> {
    let link = await this.#dial();
    if (link && (await link.version()) !== SERVER_VERSION) {
      await link.endServer();
      link = undefined;
    }
    if (!link) {
      await this.#options.start(this.#options.socketPath);
      link = await this.#dial();
    }
    if (!link) throw systemError(`the name server at ${this.#options.socketPath} does not answer`);
    await link.ask({ op: "restore", endpoints: [...this.#endpoints.values()], sandboxes: [...this.#sandboxes.keys()].map((id) => this.#wireSandbox(id)) });
    this.#failures = 0;
    return (this.#link = link);
  }

  async #dial(): Promise<ServerLink | undefined> {
    const socket = await dial(this.#options.socketPath);
    if (!socket) return undefined;
    const link: ServerLink = new ServerLink(socket, { notice: this.#options.warn, repaired: (what) => this.#options.repaired?.(what), denial: (denial) => this.#options.denied?.(denial), end: () => this.#lost(link) });
    return link;
  }

  #wireSandbox(id: string): WireSandbox {
    const { netns, view } = this.#sandboxes.get(id)!;
    return { id, netns: { path: `/proc/${process.pid}/fd/${netns.fd}`, inode: inodeOf(netns.fd) }, view: wireView(view) };
  }

  #lost(link: ServerLink): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    if (this.#closed || this.#sandboxes.size === 0) return;
    this.#options.warn("the name server of the containers has ended; another one is started");
    this.#restart();
  }

  #restart(): void {
    clearTimeout(this.#retry);
    const delay = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)]!;
    this.#retry = setTimeout(() => {
      if (this.#closed || this.#link || this.#sandboxes.size === 0) return;
      this.#connected().catch((error: unknown) => {
        this.#options.warn(messageOf(error));
        this.#restart();
      });
    }, delay);
  }
}

const keyOf = ({ networkId, endpointId }: { networkId: string; endpointId: string }): string => `${networkId}/${endpointId}`;

const copyOf = (fd: number): Netns => new Netns(openSync(`/proc/self/fd/${fd}`, "r"));
