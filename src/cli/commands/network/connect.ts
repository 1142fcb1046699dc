import { path } from "../../api/client.ts";
import { checkLink } from "../../create/checks.ts";
import { keyValues } from "../../create/key-values.ts";
import type { FlagCheck } from "../../flag-types.ts";
import { parseCsv } from "../../parse/csv.ts";
import type { Session } from "../../session.ts";

export const checks: Record<string, FlagCheck> = { link: checkLink };

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const [network = "", container = ""] = args;
  const options = flags.list("driver-opt");
  if (options.some((option) => !/^[^=]+=/.test(option))) throw new Error("invalid key/value pair format in driver options");
  const slice = (name: string): string[] | null => (flags.list(name).length === 0 ? null : flags.list(name).flatMap(parseCsv));
  await session.client.text("POST", path`/networks/${network}/connect`, {
    json: {
      Container: container,
      EndpointConfig: {
        IPAMConfig: { IPv4Address: flags.string("ip") || undefined, IPv6Address: flags.string("ip6") || undefined, LinkLocalIPs: slice("link-local-ip") ?? undefined },
        Links: flags.list("link").length > 0 ? flags.list("link") : null,
        Aliases: slice("alias"),
        DriverOpts: options.length > 0 ? keyValues(options) : null,
        GwPriority: flags.int("gw-priority"),
      },
    },
  });
}
