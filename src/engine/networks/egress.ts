/** What containers may reach: their own rules, and those of the networks that they are in. Without any they reach everything. */
import type { ContainerRecord } from "../../core/container.ts";
import type { EgressView } from "../../core/name-service.ts";
import { notImplemented } from "../../lib/errors.ts";
import { parseEgress } from "../../lib/egress.ts";
import type { Endpoint } from "./sandbox.ts";

/** Of a network: its rules, with commas between them. */
export const EGRESS_OPTION = "gantry.network.egress";

const split = (text: string | undefined): string[] => (text ?? "").split(",").filter((rule) => rule !== "");

/** Refuses what is no rule. */
export function checkEgressOption(options: Readonly<Record<string, string>>): void {
  split(options[EGRESS_OPTION]).forEach(parseEgress);
}

const rulesOf = ({ hostConfig }: Pick<ContainerRecord, "hostConfig">, endpoints: readonly Endpoint[]): string[] => [...(hostConfig.Egress ?? []), ...endpoints.flatMap(({ network }) => split(network.spec.options[EGRESS_OPTION]))];

export const isLimited = (record: Pick<ContainerRecord, "hostConfig">, endpoints: readonly Endpoint[]): boolean => rulesOf(record, endpoints).length > 0;

export function egressOf(record: Pick<ContainerRecord, "hostConfig" | "id">, endpoints: readonly Endpoint[]): EgressView | undefined {
  const rules = rulesOf(record, endpoints);
  const [first] = endpoints;
  if (rules.length === 0 || !first) return undefined;
  const other = endpoints.find(({ network }) => network.driver.id !== "bridge" && network.driver.capabilities.addresses);
  if (other) throw notImplemented(`egress rules hold on bridge networks only; ${other.network.row.name} is one of ${other.network.driver.id}`);
  return {
    sources: endpoints.flatMap(({ addresses }) => addresses.map(({ address }) => address)),
    rules: [...new Set(rules)],
    owner: { containerId: record.id, networkId: first.network.row.id, networkName: first.network.row.name },
  };
}
