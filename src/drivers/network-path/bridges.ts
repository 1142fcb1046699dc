/** Bridges of one namespace that veth pairs join to each other. */
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";

/** Out of one bridge and into the next. */
export interface BridgeStep {
  out: Link;
  into: Link;
  bridge: Link;
}

/** The ways to all bridges that frames of this one get to, nearest first. */
function waysFrom(links: readonly Link[], from: Link): Map<number, BridgeStep[]> {
  const ways = new Map<number, BridgeStep[]>([[from.index, []]]);
  for (const [index, way] of ways) {
    for (const out of links.filter(({ master, kind }) => master === index && kind === "veth")) {
      const into = links.find((link) => link.index === out.peer && link.peer === out.index && link.kind === "veth");
      const bridge = links.find((link) => link.index === into?.master && link.kind === "bridge");
      if (into && bridge && !ways.has(bridge.index)) ways.set(bridge.index, [...way, { out, into, bridge }]);
    }
  }
  return ways;
}

export const bridgesBehind = (links: readonly Link[], from: Link): Link[] => [...waysFrom(links, from).values()].flatMap((way) => way.at(-1)?.bridge ?? []);

/** From one to the other; none for the same one, and where there is no way. */
export const bridgeWay = (links: readonly Link[], from: Link, to: Link): BridgeStep[] => waysFrom(links, from).get(to.index) ?? [];
