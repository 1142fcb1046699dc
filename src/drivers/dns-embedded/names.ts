/** What containers are called: an index of names and addresses for each network, and how a sandbox's view looks things up in them. */
import type { EndpointNames } from "../../core/name-service.ts";
import { formatIp, ipFromBytes, ipToBytes, parseIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";

/** A view as it is looked up: names in lower case. */
export interface NameView {
  networks: readonly { networkId: string; links: ReadonlyMap<string, string> }[];
}

/** undefined: nobody in the view has the name. Addresses of every family, as they go on the wire. */
export type Resolved = readonly Uint8Array[] | undefined;

export class Names {
  readonly #networks = new Map<string, NetworkNames>();

  set({ networkId, endpointId }: { networkId: string; endpointId: string }, names: EndpointNames | undefined): void {
    let network = this.#networks.get(networkId);
    network?.remove(endpointId);
    if (names) {
      if (!network) this.#networks.set(networkId, (network = new NetworkNames()));
      network.add(endpointId, names);
    }
    if (network?.isEmpty()) this.#networks.delete(networkId);
  }

  clear(): void {
    this.#networks.clear();
  }

  /** The first network of the view that knows the name answers. `name` has no final dot. */
  resolve(view: NameView, name: string): Resolved {
    const lower = name.toLowerCase();
    for (const { networkId, links } of view.networks) {
      const found = this.#networks.get(networkId)?.resolve(links.get(lower) ?? lower);
      if (found) return found;
    }
    return undefined;
  }

  /** "FIRST-NAME.NETWORK" of an address. */
  reverse(view: NameView, address: IpAddress): string | undefined {
    const key = formatIp(address);
    for (const { networkId } of view.networks) {
      const found = this.#networks.get(networkId)?.nameOf(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

interface Endpoint {
  names: string[];
  first: string;
  addresses: Uint8Array[];
}

class NetworkNames {
  readonly #endpoints = new Map<string, Endpoint>();
  /** Endpoints by name, in the order in which they came. */
  readonly #byName = new Map<string, Set<Endpoint>>();
  readonly #byAddress = new Map<string, Endpoint>();
  #suffix = "";
  #name = "";

  isEmpty(): boolean {
    return this.#endpoints.size === 0;
  }

  add(id: string, { networkName, names, addresses }: EndpointNames): void {
    this.#name = networkName;
    this.#suffix = `.${networkName.toLowerCase()}`;
    const endpoint: Endpoint = { names: [...new Set(names.map((name) => name.toLowerCase()))], first: names[0] ?? "", addresses: addresses.map(ipToBytes) };
    this.#endpoints.set(id, endpoint);
    for (const name of endpoint.names) {
      const holders = this.#byName.get(name);
      if (holders) holders.add(endpoint);
      else this.#byName.set(name, new Set([endpoint]));
    }
    for (const address of addresses) this.#byAddress.set(formatIp(address), endpoint);
  }

  remove(id: string): void {
    const endpoint = this.#endpoints.get(id);
    if (!endpoint) return;
    this.#endpoints.delete(id);
    for (const name of endpoint.names) {
      const holders = this.#byName.get(name)!;
      holders.delete(endpoint);
      if (holders.size === 0) this.#byName.delete(name);
    }
    for (const bytes of endpoint.addresses) {
      const key = formatIp(ipFromBytes(bytes));
      if (this.#byAddress.get(key) === endpoint) this.#byAddress.delete(key);
    }
  }

  resolve(name: string): Resolved {
    const holders = this.#byName.get(name) ?? (name.endsWith(this.#suffix) ? this.#byName.get(name.slice(0, -this.#suffix.length)) : undefined);
    return holders && [...holders].flatMap(({ addresses }) => addresses);
  }

  nameOf(address: string): string | undefined {
    const endpoint = this.#byAddress.get(address);
    return endpoint && endpoint.first !== "" ? `${endpoint.first}.${this.#name}` : undefined;
  }
}

/** The address that a name below in-addr.arpa or ip6.arpa stands for. */
export function addressOfPointer(name: string): IpAddress | undefined {
  const lower = name.toLowerCase();
  if (lower.endsWith(".in-addr.arpa")) {
    return parseIp(lower.slice(0, -".in-addr.arpa".length).split(".").reverse().join("."));
  }
  if (!lower.endsWith(".ip6.arpa")) return undefined;
  const digits = lower.slice(0, -".ip6.arpa".length).split(".").reverse();
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return { family: 6, value: BigInt(`0x${digits.join("")}`) };
}
