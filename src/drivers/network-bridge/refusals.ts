/** The kernel's refusals of a join, in Docker's words. */
import type { JoinRequest } from "../../core/network.ts";
import { GantryError, systemError } from "../../lib/errors.ts";
import { RTM } from "../../sys/netlink/rtnetlink.ts";
import { NetlinkFailure, errnoCode } from "../../sys/netlink/socket.ts";

const isTaken = (error: unknown, type: number): boolean => errnoCode(error) === "EEXIST" && error instanceof GantryError && error.cause instanceof NetlinkFailure && error.cause.type === type;

/** By its index, or its name. */
export const isLinkTaken = (error: unknown): boolean => isTaken(error, RTM.NEWLINK);

/** BR_MAX_PORTS, whose first number nobody gets. */
const MAX_PORTS = 1023;

export function inDockersWords(error: unknown, { interfaceName }: JoinRequest, { network, bridge }: { network: string; bridge: string }): unknown {
  if (errnoCode(error) === "EXFULL") return systemError(`network ${network} is full: its bridge ${bridge} has ${MAX_PORTS} ports, the most that the kernel gives a bridge; connect further containers to another network`, error);
  if (isLinkTaken(error)) return systemError(`error renaming interface to ${JSON.stringify(interfaceName)}: file exists`, error);
  return isTaken(error, RTM.NEWROUTE) ? systemError("failed to set gateway: file exists", error) : error;
}
