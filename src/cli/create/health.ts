import type { FlagValues } from "../../lib/flags.ts";
import type { ImageHealthcheck } from "../../lib/oci-image.ts";

/** The health check that the flags describe; undefined leaves the image's own. Throws an Error with Docker's words. */
export function healthCheck(flags: FlagValues): ImageHealthcheck | undefined {
  const times = { Interval: flags.duration("health-interval"), Timeout: flags.duration("health-timeout"), StartPeriod: flags.duration("health-start-period"), StartInterval: flags.duration("health-start-interval") };
  const command = flags.string("health-cmd");
  const retries = flags.int("health-retries");
  const any = command !== "" || retries !== 0 || Object.values(times).some((time) => time !== 0);
  if (flags.bool("no-healthcheck")) {
    if (any) throw new Error("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!any) return undefined;
  const signed: [string, number][] = [
    ["health-interval", times.Interval],
    ["health-timeout", times.Timeout],
    ["health-retries", retries],
    ["health-start-period", times.StartPeriod],
    ["health-start-interval", times.StartInterval],
  ];
  for (const [name, value] of signed) if (value < 0) throw new Error(`--${name} cannot be negative`);
  const given = Object.fromEntries(Object.entries({ ...times, Retries: retries }).filter(([, value]) => value !== 0));
  return { ...(command === "" ? {} : { Test: ["CMD-SHELL", command] }), ...given };
}
