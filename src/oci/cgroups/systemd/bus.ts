/** Where systemd is asked: the system's manager for root, the user's own for an ordinary user. */
import { existsSync, statSync } from "node:fs";
import { invalidParameter } from "../../../lib/errors.ts";

export interface ManagerBus {
  /** Of a unix socket; "\0..." for an abstract one. */
  socket: string;
  /** systemd itself answers there, without a bus between. */
  direct: boolean;
  /** The manager of one user's units. */
  user: boolean;
}

export interface BusCaller {
  uid: number;
  variable: (name: string) => string | undefined;
}

const unavailable = "systemd support for managing cgroups is not available";

/** As sd-bus has it: the address that the environment names, else the bus at its usual place, else systemd's own socket. */
export function managerBus({ uid, variable }: BusCaller): ManagerBus {
  const user = uid !== 0;
  const address = variable(user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS");
  if (address) return { socket: socketOf(address), direct: false, user };
  // sd_booted(3)
  if (statSync("/run/systemd/system", { throwIfNoEntry: false })?.isDirectory() !== true)
    throw invalidParameter(`${unavailable}: /run/systemd/system is missing, so this machine was not booted with systemd`);
  const folder = user ? (variable("XDG_RUNTIME_DIR") ?? `/run/user/${uid}`) : "/run";
  const socket = user ? `${folder}/bus` : `${folder}/dbus/system_bus_socket`;
  if (existsSync(socket)) return { socket, direct: false, user };
  const own = `${folder}/systemd/private`;
  if (existsSync(own)) return { socket: own, direct: true, user };
  throw invalidParameter(`${unavailable}: there is neither ${socket} nor ${own}`);
}

/** D-Bus Specification, "Server Addresses": the first of "unix:path=...;unix:abstract=...,guid=..." that is a unix socket. */
function socketOf(address: string): string {
  for (const each of address.split(";")) {
    const value = /^unix:(?:.*,)?(path|abstract)=([^,]+)/.exec(each);
    if (value === null) continue;
    const name = value[2]!.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    return value[1] === "path" ? name : `\0${name}`;
  }
  throw invalidParameter(`${unavailable}: ${JSON.stringify(address)} is not the address of a unix socket`);
}
