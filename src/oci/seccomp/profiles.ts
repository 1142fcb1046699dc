import { createHash } from "node:crypto";
import type { SeccompProfiles } from "../../core/seccomp.ts";
import type { OciSeccomp } from "../../lib/oci-spec.ts";
import type { HostFacts } from "../host.ts";
import { compileSeccomp } from "./compile.ts";
import { defaultSeccomp, parseSeccomp } from "./profile.ts";

const cachedProfiles = 64;

export function seccompProfiles(host: Pick<HostFacts, "architecture" | "kernelRelease">): SeccompProfiles {
  const parsed = new Map<string, OciSeccomp | undefined>();
  return {
    builtin: (capabilities) => defaultSeccomp({ capabilities, host }),
    parse(text, capabilities) {
      const key = [createHash("sha256").update(text).digest("base64"), ...capabilities.toSorted()].join();
      if (!parsed.has(key)) {
        const section = parseSeccomp(text, { capabilities, host });
        if (section !== undefined) compileSeccomp(section, host.architecture);
        parsed.set(key, section);
        if (parsed.size > cachedProfiles) parsed.delete(parsed.keys().next().value!);
      }
      return parsed.get(key);
    },
  };
}
