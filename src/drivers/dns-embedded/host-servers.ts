/** The servers that the host's resolv.conf names, now: the file is looked at again when a question is about to go to them. */
import { readFileSync, statSync } from "node:fs";
import { parseResolvConf } from "../../lib/resolv-conf.ts";
import { Upstreams } from "./upstreams.ts";

/** Docker's, where the host names none. */
const PUBLIC_SERVERS = ["8.8.8.8", "8.8.4.4"];
/** How old what is known of the file may be. */
const FRESH_MS = 500;
/** The namespace of this process. */
export const HOST = -1;

export class HostServers {
  readonly #path: string;
  #upstreams = new Upstreams([]);
  #state = "";
  #looked = -Infinity;

  constructor(path: string) {
    this.#path = path;
  }

  get current(): Upstreams {
    const now = performance.now();
    if (now - this.#looked > FRESH_MS) {
      this.#looked = now;
      this.#look();
    }
    return this.#upstreams;
  }

  /** A new file, or a changed one, makes all its servers untried. */
  #look(): void {
    const state = stateOf(this.#path);
    if (state === this.#state) return;
    this.#state = state;
    const { nameservers, options } = parseResolvConf(readIfThere(this.#path));
    const addresses = nameservers.length > 0 ? nameservers : PUBLIC_SERVERS;
    this.#upstreams = new Upstreams(addresses.map((address) => ({ address, netns: HOST })), { rotate: options.includes("rotate") });
  }
}

function stateOf(path: string): string {
  const status = statSync(path, { bigint: true, throwIfNoEntry: false });
  return status ? `${status.ino} ${status.size} ${status.mtimeNs} ${status.ctimeNs}` : "absent";
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
