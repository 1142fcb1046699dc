/** The kernel's refusals of a join, in Docker's words. */
import type { JoinRequest } from "../../core/network.ts";
import { GantryError, systemError } from "../../lib/errors.ts";
import { RTM } from "../../sys/netlink/rtnetlink.ts";
import { NetlinkFailure, errnoCode } from "../../sys/netlink/socket.ts";

const isTaken = (error: unknown, type: number): boolean => errnoCode(error) === "EEXIST" && error instanceof GantryError && error.cause instanceof NetlinkFailure && error.cause.type === type;

/** By its index, or its name. */
export const isLinkTaken = (error: unknown): boolean => isTaken(error, RTM.NEWLINK);

export function inDockersWords(error: unknown, { interfaceName }: JoinRequest): unknown {
  if (isLinkTaken(error)) return systemError(`error renaming interface to ${JSON.stringify(interfaceName)}: file exists`, error);
  return isTaken(error, RTM.NEWROUTE) ? systemError("failed to set gateway: file exists", error) : error;
}
