/** Port bindings of a container, as settings have them, and changes of them. */
import type { HostConfig, PortBinding } from "../../core/container-config.ts";
import type { PortState } from "../../core/container.ts";
import { singles } from "../../core/port-runs.ts";
import { conflict } from "../../lib/errors.ts";

export type Bindings = NonNullable<HostConfig["PortBindings"]>;

/** What an update asks for. */
export interface BindingsChange {
  add: Bindings;
  remove: Bindings;
}

export interface ChangedBindings {
  bindings: Bindings;
  /** Published ports that go. */
  gone: PortState[];
}

/** `live` is what is published now. Throws for what is not there, or there already. */
export function changeBindings(current: Bindings, { add, remove }: BindingsChange, live: readonly PortState[]): ChangedBindings {
  const bindings: Bindings = { ...current };
  const gone: PortState[] = [];
  const published = Map.groupBy(singles(live), ({ port, protocol }) => `${port}/${protocol}`);
  for (const [port, asked] of Object.entries(remove)) {
    const present = associate(bindings[port] ?? [], published.get(port) ?? []);
    const matches = (asked ?? []).length === 0 ? present : present.filter((one) => asked!.some((wanted) => isMeant(one, wanted)));
    const missing = asked?.find((wanted) => !present.some((one) => isMeant(one, wanted)));
    if (matches.length === 0 || missing) throw conflict(`port ${textOf(port, missing)} is not published`);
    gone.push(...matches.flatMap(({ ports }) => ports));
    const left = present.filter((one) => !matches.includes(one)).map(({ binding }) => binding);
    if (left.length > 0) bindings[port] = left;
    else delete bindings[port];
  }
  for (const [port, asked] of Object.entries(addedBindings(add))) {
    for (const binding of asked) {
      const twice = binding.HostPort !== "" && bindings[port]?.some(({ HostIp, HostPort }) => HostPort === binding.HostPort && HostIp === binding.HostIp);
      if (twice) throw conflict(`port ${textOf(port, binding)} is published already`);
      bindings[port] = [...(bindings[port] ?? []), binding];
    }
  }
  return { bindings, gone };
}

/** With one for a port that names none: any port of the host. */
export const addedBindings = (add: Bindings): Record<string, PortBinding[]> => Object.fromEntries(Object.entries(add).map(([port, asked]) => [port, asked?.length ? asked : [{ HostIp: "", HostPort: "" }]]));

const textOf = (port: string, binding: PortBinding | undefined): string => `${binding?.HostIp ? `${binding.HostIp.includes(":") ? `[${binding.HostIp}]` : binding.HostIp}:` : ""}${binding?.HostPort ? `${binding.HostPort}:` : ""}${port}`;

interface Associated {
  binding: PortBinding;
  /** What is published because of it: one of each family at most. */
  ports: PortState[];
}

/** Exact bindings have their port; of the others each has the first that is left and fits. */
function associate(bindings: readonly PortBinding[], published: readonly PortState[]): Associated[] {
  let left = published;
  const take = (binding: PortBinding): PortState[] => {
    const [first, last] = rangeOf(binding);
    const hostPort = left.find((state) => first <= state.hostPort && state.hostPort <= last && fits(state, binding))?.hostPort;
    const own = left.filter((state) => state.hostPort === hostPort && fits(state, binding));
    left = left.filter((state) => !own.includes(state));
    return own;
  };
  const isExact = (binding: PortBinding): boolean => rangeOf(binding)[0] === rangeOf(binding)[1];
  const taken = new Map([...bindings.filter(isExact), ...bindings.filter((binding) => !isExact(binding))].map((binding) => [binding, take(binding)]));
  return bindings.map((binding) => ({ binding, ports: taken.get(binding) ?? [] }));
}

/** Ports that are reached without one of the host's have 0. */
function rangeOf({ HostPort }: PortBinding): [first: number, last: number] {
  const [first = 0, last = first] = HostPort.split("-").map(Number);
  return first === 0 ? [0, 65535] : [first, last];
}

const fits = ({ hostIp }: PortState, { HostIp }: PortBinding): boolean => HostIp === "" || HostIp === hostIp;

/** By what it was asked as, or by what came of it. */
function isMeant({ binding, ports }: Associated, { HostIp, HostPort }: PortBinding): boolean {
  const address = HostIp === "" || HostIp === binding.HostIp || ports.some(({ hostIp }) => HostIp === hostIp);
  return address && (HostPort === "" || HostPort === binding.HostPort || ports.some(({ hostPort }) => String(hostPort) === HostPort));
}
