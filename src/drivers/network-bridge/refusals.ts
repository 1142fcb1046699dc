/** The kernel's refusals of a join, in Docker's words. */
import type { JoinRequest } from "../../core/network.ts";
import { GantryError, systemError } from "../../lib/errors.ts";
import { RTM } from "../../sys/netlink/rtnetlink.ts";
import { NetlinkFailure, errnoCode } from "../../sys/netlink/socket.ts";

const isTaken = (error: unknown, type: number): boolean => errnoCode(error) === "EEXIST" && error instanceof GantryError && error.cause instanceof NetlinkFailure && error.cause.type === type;

/** By its index, or its name. */
export const isLinkTaken = (error: unknown): boolean => isTaken(error, RTM.NEWLINK);

export const isFull = (error: unknown): boolean => errnoCode(error) === "EXFULL";

/** Its own bridge has no port left, nor has any further one. */
export const fullNetwork = ({ network, bridge }: { network: string; bridge: string }, cause?: unknown): GantryError =>
  systemError(`network ${network} is full: its bridge ${bridge} has all the ports that the kernel gives a bridge, and none is left to join a further bridge by; connect further containers to another network`, cause);

export function inDockersWords(error: unknown, { interfaceName }: JoinRequest, names: { network: string; bridge: string }): unknown {
  if (isFull(error)) return fullNetwork(names, error);
  if (isLinkTaken(error)) return systemError(`error renaming interface to ${JSON.stringify(interfaceName)}: file exists`, error);
  return isTaken(error, RTM.NEWROUTE) ? systemError("failed to set gateway: file exists", error) : error;
}
