/** Limited sandboxes: what they may ask for, the addresses that their names stand for, and what they were denied. */
import { hash } from "node:crypto";
import type { EgressDenial } from "../../core/name-service.ts";
import { formatIp, ipFromBytes, ipToBytes } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { matchesName } from "../../lib/egress.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NftChange, NftTable } from "../../sys/netlink/nftables.ts";
import { claimTable, replaceTable } from "../../sys/netlink/nftables-claim.ts";
import type { Ownership } from "../../sys/netlink/nftables-claim.ts";
import { watchPacketLog } from "../../sys/netlink/packet-log.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import { Denials } from "./denials.ts";
import { keepSysctls, type SysctlKeeper } from "../../sys/netlink/sysctl-keeper.ts";
import { LOGGED_BYTES, additionOf, frame, removalOf, setOf } from "./egress-table.ts";
import type { Limited } from "./egress-table.ts";

/** What a resolver asks before it answers a limited sandbox. */
export interface Gate {
  admits(name: string): boolean;
  /** Lets the sandbox reach the addresses, for as long as the name may be remembered. Rejects when it cannot. */
  learn(name: string, addresses: readonly Uint8Array[], ttlSeconds: number): Promise<void>;
  refused(name: string): void;
}

export interface EgressOptions {
  /** Tells the tables of a machine's name servers apart. */
  key: string;
  denied: (denial: EgressDenial) => void;
  notice: (text: string) => void;
  /** After another program took it away. */
  repaired: (what: string) => void;
}

const MIN_TTL_SECONDS = 30;
const MAX_TTL_SECONDS = 24 * 60 * 60;
/** Clients connect a moment after an answer has lost its time. */
const GRACE_SECONDS = 60;
const FIRST_GROUP = 1024;
const GROUPS = 60_000;

export class Egress {
  readonly #options: EgressOptions;
  readonly #table: NftTable;
  readonly #group: number;
  readonly #kernel = openNetworkKernel();
  readonly #limited = new Map<string, Limited>();
  /** By set and address: when the kernel forgets it. */
  readonly #learned = new Map<string, number>();
  readonly #denials: Denials;
  readonly #sysctls: SysctlKeeper;
  #ownership: Ownership | undefined;
  #watches: Promise<NetlinkWatch[]> | undefined;

  constructor(options: EgressOptions) {
    this.#options = options;
    const digest = hash("sha256", options.key, "buffer");
    this.#table = { family: "inet", name: `gantry-egress-${digest.toString("hex", 0, 4)}` };
    this.#group = FIRST_GROUP + (digest.readUInt32BE(4) % GROUPS);
    this.#sysctls = keepSysctls({ kernel: this.#kernel, warn: options.notice, repaired: options.repaired });
    this.#denials = new Denials((source) => [...this.#limited.values()].find(({ sources }) => sources.some((one) => formatIp(one) === source))?.owner, options.denied);
  }

  /** Exactly these are limited. In one transaction: none is open in between. */
  async restore(limited: readonly Limited[]): Promise<void> {
    this.#limited.clear();
    for (const one of limited) this.#limited.set(one.id, one);
    if (limited.length > 0) await this.#commit();
    else if (await this.#isPresent()) await this.#reclaimAndRemove();
  }

  /** undefined: not limited any more. */
  async set(id: string, limited: Limited | undefined): Promise<void> {
    const before = this.#limited.get(id);
    if (!before && !limited) return;
    if (before && limited && describe(before) === describe(limited)) return;
    if (limited) this.#limited.set(id, limited);
    else this.#limited.delete(id);
    if (this.#limited.size === 0) return this.#removeTable();
    if (!this.#ownership) return this.#commit();
    await this.#change([...(before ? removalOf(before) : []), ...(limited ? additionOf(limited) : [])]);
  }

  gate(id: string): Gate {
    const rules = (name: string): number[] => this.#limited.get(id)?.rules.flatMap(({ target }, index) => (target.kind === "name" && matchesName(target.name, name) ? [index] : [])) ?? [];
    return {
      admits: (name) => rules(name.toLowerCase()).length > 0,
      learn: (name, addresses, ttl) => this.#learn(id, rules(name.toLowerCase()), addresses.filter(isRemote), ttl),
      refused: (name) => {
        const owner = this.#limited.get(id)?.owner;
        if (owner) this.#denials.name(owner, name);
      },
    };
  }

  /** The table stays. */
  async close(): Promise<void> {
    for (const watch of (await this.#watches) ?? []) watch.close();
    this.#sysctls.close();
    this.#kernel.close();
  }

  async #learn(id: string, rules: readonly number[], addresses: readonly Uint8Array[], ttlSeconds: number): Promise<void> {
    const lifetime = (Math.min(Math.max(ttlSeconds, MIN_TTL_SECONDS), MAX_TTL_SECONDS) + GRACE_SECONDS) * 1000;
    const now = Date.now();
    const changes: NftChange[] = [];
    for (const rule of rules) {
      for (const address of addresses) {
        const set = setOf(id, rule, address.length === 4 ? 4 : 6);
        const key = `${set} ${Buffer.from(address).toString("hex")}`;
        const known = this.#learned.get(key) ?? 0;
        // Most of its time is left: the client's copy will not outlive it by much.
        if (known - now > lifetime - (GRACE_SECONDS * 1000) / 2) continue;
        const element = { key: address };
        // Adding again does not renew the time on older kernels.
        if (known > now) changes.push({ op: "addElements", set, elements: [element] }, { op: "deleteElements", set, elements: [element] });
        changes.push({ op: "addElements", set, elements: [{ ...element, timeout: lifetime }] });
        this.#learned.set(key, now + lifetime);
      }
    }
    if (changes.length > 0) await this.#change(changes);
    if (this.#learned.size > MAX_LEARNED) this.#forget(now);
  }

  #forget(now: number): void {
    for (const [key, until] of this.#learned) if (until <= now) this.#learned.delete(key);
  }

  async #change(changes: NftChange[]): Promise<void> {
    try {
      await this.#kernel.nft({ table: this.#table, changes });
    } catch (error) {
      // What is missing somebody removed: then the table is made whole.
      if (!["ENOENT", "EEXIST"].includes(errnoCode(error))) throw error;
      await this.#commit();
    }
  }

  /** With what is learned still good. */
  #state(): NftChange[] {
    const now = Date.now();
    this.#forget(now);
    const learned = [...this.#learned].flatMap(([key, until]): NftChange[] => {
      const [set = "", bytes = ""] = key.split(" ");
      return this.#limited.has(this.#idOf(set)) ? [{ op: "addElements", set, elements: [{ key: Buffer.from(bytes, "hex"), timeout: until - now }] }] : [];
    });
    return [...frame(this.#group), ...[...this.#limited.values()].flatMap(additionOf), ...learned];
  }

  #idOf(set: string): string {
    return [...this.#limited.keys()].find((id) => set.startsWith(`c-${id.slice(0, 12)}-`)) ?? "";
  }

  async #removeTable(): Promise<void> {
    for (const name of BRIDGED) this.#sysctls.forget(name);
    this.#ownership = undefined;
    this.#learned.clear();
    await this.#kernel.nft({ table: this.#table, changes: [{ op: "addTable" }, { op: "deleteTable" }] });
  }

  async #commit(): Promise<void> {
    if (this.#ownership) await this.#kernel.nft({ table: this.#table, changes: [...replaceTable(this.#ownership), ...this.#state()] });
    else this.#ownership = await claimTable(this.#table, (transaction) => this.#kernel.nft(transaction), () => this.#state());
    this.#watches ??= this.#watch();
    await this.#watches;
    await this.#seeBridged();
  }

  async #watch(): Promise<NetlinkWatch[]> {
    const table = await this.#kernel.watchTable(this.#table.name, { lost: () => void this.#heal() });
    try {
      return [table, await watchPacketLog(-1, this.#group, LOGGED_BYTES, (packet) => this.#denials.packet(packet))];
    } catch (error) {
      this.#options.notice(`denials of egress are not told of: ${messageOf(error)}`);
      return [table];
    }
  }

  async #heal(): Promise<void> {
    if (this.#limited.size === 0) return;
    try {
      await this.#commit();
      this.#options.notice(`the firewall table inet ${this.#table.name} was removed or changed by another program and has been restored`);
      this.#options.repaired(`firewall table ${this.#table.name}`);
    } catch (error) {
      this.#options.notice(`cannot restore the firewall table inet ${this.#table.name}: ${messageOf(error)}`);
    }
  }

  /** Packets between containers of one bridge pass the same chains. */
  async #seeBridged(): Promise<void> {
    if (this.#limited.size === 0) return;
    try {
      for (const name of BRIDGED) await this.#sysctls.keep(name, "1");
    } catch (error) {
      throw systemError("egress rules need the kernel's br_netfilter: load the module br_netfilter", error);
    }
  }

  /** Only its owner may remove it. */
  async #reclaimAndRemove(): Promise<void> {
    await claimTable(this.#table, (transaction) => this.#kernel.nft(transaction), () => []);
    await this.#removeTable();
  }

  async #isPresent(): Promise<boolean> {
    return (await this.#kernel.baseChains()).some(({ table }) => table === this.#table.name);
  }
}

const MAX_LEARNED = 100_000;
const BRIDGED = ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"];

const describe = ({ sources, rules }: Limited): string => JSON.stringify([sources.map(formatIp), rules.map(({ target, ...rest }) => [target.kind === "name" ? target.name : Buffer.from(ipToBytes(target.prefix.address)).toString("hex") + target.prefix.length, rest])]);

/** A name's owner cannot open the machine's own services: loopback and link-local addresses are never learned. */
function isRemote(bytes: Uint8Array): boolean {
  const address: IpAddress = ipFromBytes(bytes);
  if (address.family === 4) return address.value >> 24n !== 127n && address.value >> 16n !== 0xa9fen && address.value >> 24n !== 0n && address.value >> 28n < 14n;
  return address.value > 1n && address.value >> 118n !== 0x3fan && address.value >> 120n !== 0xffn && address.value >> 32n !== 0xffffn;
}
