/** The daemon's options about networks: from flags and file to checked settings. */
import { invalidParameter } from "../../lib/errors.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { contains, parseIp, requirePrefix } from "../../lib/ip.ts";
import type { NetworkFlags } from "../networks.ts";
import { parseMark, parsePool } from "./option-values.ts";

const FIREWALLS = ["docker", "own-table", "honour-host"] as const;

export function networkOf(values: FlagValues): NetworkFlags {
  const mtu = values.int("mtu");
  if (mtu < 0) throw invalidParameter(`invalid default MTU: ${mtu}`);
  for (const option of ["bip", "fixed-cidr", "bip6", "fixed-cidr-v6"]) if (values.string(option) !== "") requirePrefix(values.string(option), `--${option}`);
  refuseContradictions(values);
  const acceptMark = values.string("bridge-accept-fwmark");
  return {
    bridge: values.string("bridge"),
    bip: values.string("bip"),
    fixedCidr: values.string("fixed-cidr"),
    defaultGateway: gatewayOf(values, "default-gateway", ["bip", "fixed-cidr"]),
    ipv6: values.bool("ipv6"),
    bip6: values.string("bip6"),
    fixedCidr6: values.string("fixed-cidr-v6"),
    defaultGateway6: gatewayOf(values, "default-gateway-v6", ["bip6", "fixed-cidr-v6"]),
    hostBinding: values.string("ip") === "0.0.0.0" ? "" : values.string("ip"),
    hostGatewayIps: values.list("host-gateway-ip"),
    mtu: mtu === 0 ? 1500 : mtu,
    icc: values.bool("icc"),
    ipForward: values.bool("ip-forward"),
    ipMasq: values.bool("ip-masq") && values.bool("iptables"),
    firewall: firewallOf(values),
    firewall6: values.bool("ip6tables"),
    relay: values.bool("userland-proxy"),
    directRouting: values.bool("allow-direct-routing"),
    acceptMark: acceptMark === "" ? undefined : parseMark(acceptMark),
    defaultAddressPools: values.list("default-address-pool").map(parsePool),
    networkOptions: networkOptionsOf(values.list("default-network-opt")),
    dns: { servers: values.list("dns"), search: values.list("dns-search"), options: values.list("dns-opt") },
  };
}

/** dockerd's words. */
function refuseContradictions(values: FlagValues): void {
  for (const bip of ["bip", "bip6"]) {
    if (values.string("bridge") !== "" && values.string(bip) !== "") throw invalidParameter(`You specified -b & --${bip}, mutually exclusive options. Please specify only one`);
  }
  if (values.bool("icc")) return;
  const refusal = (option: string): Error => invalidParameter(`You specified --${option}=false with --icc=false. ICC=false uses ${option} to function. Please set --icc or --${option} to true`);
  if (!values.bool("iptables")) throw refusal("iptables");
  if (values.bool("ipv6") && !values.bool("ip6tables")) throw refusal("ip6tables");
}

/** Of the family that its name says, and inside the subnet that is named. */
function gatewayOf(values: FlagValues, option: string, subnets: readonly string[]): string {
  const text = values.string(option);
  if (text === "") return "";
  const family = option.endsWith("-v6") ? 6 : 4;
  const address = parseIp(text);
  if (address?.family !== family) throw invalidParameter(`invalid --${option} ${text}: it is no IPv${family} address`);
  const subnet = subnets.map((name) => values.string(name)).find((said) => said !== "");
  if (subnet !== undefined && !contains(requirePrefix(subnet, `--${subnets[0]!}`), address)) throw invalidParameter(`invalid --${option} ${text}: it is not inside the default bridge's subnet ${subnet}`);
  return text;
}

function firewallOf(values: FlagValues): NetworkFlags["firewall"] {
  const mode = FIREWALLS.find((name) => name === values.string("firewall"));
  if (!mode) throw invalidParameter(`invalid value for --firewall: ${JSON.stringify(values.string("firewall"))}; there are ${FIREWALLS.join(", ")}`);
  return values.bool("iptables") ? mode : "none";
}

/** "DRIVER=OPTION=VALUE" each. */
function networkOptionsOf(texts: readonly string[]): NetworkFlags["networkOptions"] {
  const options: Record<string, Record<string, string>> = {};
  for (const text of texts) {
    const [driver = "", key = "", ...value] = text.split("=");
    (options[driver] ??= {})[key] = value.join("=");
  }
  return options;
}
