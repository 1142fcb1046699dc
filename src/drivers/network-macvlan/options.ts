/** The options of macvlan and ipvlan networks, as the API names them. */
import type { NetworkSpec } from "../../core/network.ts";
import { invalidParameter, systemError } from "../../lib/errors.ts";

export type SlaveKind = "macvlan" | "ipvlan";

export const MACVLAN_MODE = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export const IPVLAN_MODE = { l2: 0, l3: 1, l3s: 2 } as const;
export const IPVLAN_FLAG = { bridge: 0, private: 1, vepa: 2 } as const;

export interface SlaveOptions {
  /** The host's interface; "": a dummy one of the network's own. */
  parent: string;
  macvlanMode: keyof typeof MACVLAN_MODE;
  ipvlanMode: keyof typeof IPVLAN_MODE;
  ipvlanFlag: keyof typeof IPVLAN_FLAG;
  /** 0: the parent's. */
  mtu: number;
}

export function slaveOptions(kind: SlaveKind, { options }: Pick<NetworkSpec, "options">): SlaveOptions {
  const chosen = { parent: options["parent"] ?? "", macvlanMode: "bridge", ipvlanMode: "l2", ipvlanFlag: "bridge", mtu: mtuOf(options["com.docker.network.driver.mtu"]) } as SlaveOptions;
  if (kind === "macvlan") chosen.macvlanMode = oneOf(MACVLAN_MODE, options["macvlan_mode"] || "bridge", (value) => `requested macvlan mode '${value}' is not valid, 'bridge' mode is the macvlan driver default`);
  else {
    chosen.ipvlanMode = oneOf(IPVLAN_MODE, options["ipvlan_mode"] || "l2", (value) => `requested ipvlan mode '${value}' is not valid, 'l2' mode is the ipvlan driver default`);
    chosen.ipvlanFlag = oneOf(IPVLAN_FLAG, options["ipvlan_flag"] || "bridge", (value) => `requested ipvlan flag '${value}' is not valid, 'bridge' is the ipvlan driver default`);
  }
  if (chosen.parent === "lo") throw systemError(`loopback interface is not a valid ${kind} parent link`);
  return chosen;
}

function oneOf<Table extends object>(table: Table, value: string, refusal: (value: string) => string): keyof Table {
  if (!Object.hasOwn(table, value)) throw systemError(refusal(value));
  return value as keyof Table;
}

function mtuOf(text: string | undefined): number {
  if (text === undefined || text === "") return 0;
  if (!/^[0-9]{1,5}$/.test(text)) throw invalidParameter(`failed to parse com.docker.network.driver.mtu value: ${text}`);
  return Number(text);
}
