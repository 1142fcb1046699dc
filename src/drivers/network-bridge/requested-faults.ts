/** Failures that tests ask for, by dockerd's variables: the steps before are undone as for any other failure. */
import type { JoinRequest } from "../../core/network.ts";
import { systemError } from "../../lib/errors.ts";
import type { BridgeOptions } from "./options.ts";

const BRIDGE = "DOCKER_TEST_BRIDGE_INIT_ERROR";
const IPV6 = "DOCKER_TEST_RO_DISABLE_IPV6";

/** "docker0" is the default bridge, whatever its name. */
export function failOnRequest({ bridge, isDefault }: BridgeOptions): void {
  const wanted = process.env[BRIDGE];
  if (wanted && wanted === (isDefault ? "docker0" : bridge)) throw systemError(`${BRIDGE} is ${wanted}`);
}

/** As where /proc/sys cannot be written to. */
export function failWithoutIpv6({ addresses, interfaceName }: Pick<JoinRequest, "addresses" | "interfaceName">): void {
  if (process.env[IPV6] && !addresses.some(({ address }) => address.family === 6)) throw systemError(`failed to disable IPv6 on container's interface ${interfaceName}`);
}
