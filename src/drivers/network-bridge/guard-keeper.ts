/** Keeps the table of guarded ports in the kernel. It outlives the daemon with its elements. */
import type { IpAddress } from "../../lib/ip.ts";
import { messageOf } from "../../lib/errors.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NftChange, NftTable } from "../../sys/netlink/nftables.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import { FAMILIES, setOf } from "./firewall-family.ts";
import { PORT_SETS, guardElements, guardFrame, guardedPorts } from "./guard.ts";
import type { GuardedPort } from "./guard.ts";
import { linkElements, OpenLinks } from "./links.ts";
import type { Link } from "./links.ts";
import type { SeclusionNeeds } from "./seclusion.ts";

export interface Guard {
  /** The port may speak for these addresses only, from now on. */
  add(port: GuardedPort): Promise<void>;
  /** For these addresses alone, if it is guarded. */
  believe(name: string, addresses: readonly IpAddress[]): Promise<void>;
  /** Of a guarded port. */
  macOf(name: string): Uint8Array | undefined;
  /** Idempotent. */
  remove(name: string): Promise<void>;
  /** Takes up the ports of an earlier daemon; others than these are gone. */
  recover(names: ReadonlySet<string>): Promise<void>;
  /** Both are idempotent. */
  openLink(link: Link): Promise<void>;
  closeLink(link: Link): Promise<void>;
  /** The last network is gone. */
  removeTable(): Promise<void>;
  close(): void;
}

export interface GuardOptions {
  kernel: NetworkKernel;
  table: NftTable;
  warn: (message: string) => void;
  repaired: (what: string) => void;
  /** false: as on kernels that have no owners of tables. */
  owner: boolean;
}

export const NO_GUARD: Guard = { add: () => Promise.resolve(), believe: () => Promise.resolve(), macOf: () => undefined, remove: () => Promise.resolve(), recover: () => Promise.resolve(), openLink: () => Promise.resolve(), closeLink: () => Promise.resolve(), removeTable: () => Promise.resolve(), close: () => {} };

export function keepGuard({ kernel, table, warn, repaired, owner }: GuardOptions): Guard {
  const ports = new Map<string, GuardedPort>();
  const links = new OpenLinks((changes) => change(changes));
  let made: Promise<NetlinkWatch> | undefined;
  let closed = false;
  /** The rules that are wanted: each costs every frame something, and what annexes need of the kernel is not everywhere. */
  let needs: SeclusionNeeds = { secluded: false, annexed: false };

  const commit = async (changes: NftChange[] = []): Promise<void> => {
    const protections = owner ? [{ owner: true, persist: true }, {}] : [{}];
    for (const protection of protections) {
      try {
        return await kernel.nft({ table, changes: [{ op: "addTable", ...protection }, ...guardFrame(needs), ...changes] });
      } catch (error) {
        if (protection.owner !== true || !["ENOTSUP", "EOPNOTSUPP", "EINVAL"].includes(errnoCode(error))) throw error;
      }
    }
  };

  /** Whether more rules are needed than before. */
  const need = ({ secluded, link = false }: GuardedPort): boolean => {
    const before = needs;
    needs = { secluded: before.secluded || secluded, annexed: before.annexed || link };
    return needs.secluded !== before.secluded || needs.annexed !== before.annexed;
  };

  const heal = async (): Promise<void> => {
    if (closed) return;
    try {
      await commit([...[...ports.values()].flatMap((port) => guardElements("addElements", port)), ...linkElements("addElements", links.all())]);
      warn(`the firewall table ${table.family} ${table.name} was removed or changed by another program and has been restored`);
      repaired(`firewall table ${table.family} ${table.name}`);
    } catch (error) {
      warn(`cannot restore the firewall table ${table.family} ${table.name}: ${messageOf(error)}`);
    }
  };

  const make = async (): Promise<NetlinkWatch> => {
    await commit();
    return kernel.watchTable(table.name, { lost: () => void heal() });
  };

  /** What is missing somebody removed, and it is about to be restored with what is known now. */
  const change = async (changes: NftChange[]): Promise<void> => {
    made ??= make();
    try {
      await made;
      await kernel.nft({ table, changes });
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return heal();
      made = undefined;
      throw error;
    }
  };

  const add = async (port: GuardedPort): Promise<void> => {
    const before = ports.get(port.name);
    ports.set(port.name, port);
    if (need(port) && made) await made.then(() => commit());
    await change([...(before ? guardElements("deleteElements", before) : []), ...guardElements("addElements", port)]);
  };

  return {
    add,
    believe: async (name, addresses) => {
      const port = ports.get(name);
      if (port) await add({ ...port, addresses });
    },
    macOf: (name) => {
      const port = ports.get(name);
      return port?.guarded === true ? port.mac : undefined;
    },
    remove: async (name) => {
      const port = ports.get(name);
      if (!port) return;
      ports.delete(name);
      await change(guardElements("deleteElements", port)).catch((error: unknown) => warn(`guarding ${name}: ${messageOf(error)}`));
    },
    recover: async (names) => {
      const keysOf = async <Name extends string>(sets: readonly Name[]): Promise<Record<Name, Buffer[]>> => Object.fromEntries(await Promise.all(sets.map(async (set) => [set, await kernel.setKeys(table, set)]))) as Record<Name, Buffer[]>;
      // Links are opened anew.
      for (const [set, keys] of Object.entries(await keysOf(FAMILIES.map((family) => setOf("linked", family))))) if (keys.length > 0) await change([{ op: "deleteElements", set, elements: keys.map((key) => ({ key })) }]);
      const known = guardedPorts(await keysOf(PORT_SETS)).filter(({ name }) => !ports.has(name));
      if (known.length === 0) return;
      for (const port of known.filter(({ name }) => names.has(name))) {
        ports.set(port.name, port);
        need(port);
      }
      // An older daemon's table has fewer sets; and without an owner anybody's flush takes it, and nobody hears of that.
      await change(known.flatMap((port) => guardElements("addElements", port)));
      for (const port of known) if (!names.has(port.name)) await change(guardElements("deleteElements", port));
    },
    openLink: links.open,
    closeLink: links.close,
    removeTable: async () => {
      ports.clear();
      links.clear();
      if (made) (await made).close();
      made = undefined;
      await kernel.nft({ table, changes: [{ op: "addTable" }, { op: "deleteTable" }] });
    },
    close: () => {
      closed = true;
      void made?.then((watch) => watch.close());
    },
  };
}
