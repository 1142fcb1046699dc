import { invalidParameter } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { OciLinux } from "../../lib/oci-spec.ts";

/** personality(2): PER_LINUX, PER_LINUX32. */
const domains: Record<string, number> = { LINUX: 0x0000, LINUX32: 0x0008 };

export function compilePersonality(personality: OciLinux["personality"]): number | undefined {
  if (personality === undefined || personality === null) return undefined;
  const domain = lookup(domains, personality.domain);
  if (domain === undefined) throw invalidParameter(`linux.personality.domain ${JSON.stringify(personality.domain)} is not LINUX or LINUX32`);
  if (personality.flags && personality.flags.length > 0) throw invalidParameter(`linux.personality.flags ${JSON.stringify(personality.flags)} are not supported`);
  return domain;
}
