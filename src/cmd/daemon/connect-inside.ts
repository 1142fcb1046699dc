/** Connections that are made in a container's network namespace, for its health checks. */
import type { Socket } from "node:net";
import type { ContainerState } from "../../core/container.ts";
import { systemError } from "../../lib/errors.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { Netns } from "../../sys/netlink/netns.ts";
import { netSocket } from "../../sys/net-socket.ts";

/** It is being connected: what is written waits for that. */
export function connectInside(state: ContainerState, { address, port }: { address: IpAddress; port: number }): Socket {
  if (state.status !== "running" && state.status !== "paused") throw systemError("the container does not run");
  using netns = Netns.open(`/proc/${state.pid}/ns/net`);
  const net = process.getBuiltinModule("node:net");
  return new net.Socket({ fd: netSocket({ netns: netns.fd, kind: "stream", action: "connect", address, port }), readable: true, writable: true });
}
