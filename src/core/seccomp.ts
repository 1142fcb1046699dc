/** Where the engine gets a container's `linux.seccomp` from; the runtime's part knows the profiles and the machine. */
import type { OciSeccomp } from "../lib/oci-spec.ts";

export interface SeccompProfiles {
  /** Docker's default profile for a container with these bounding capabilities. The same object for the same set: the
   *  runtime finds its compiled filter by it. */
  builtin(capabilities: readonly string[]): OciSeccomp;
  /** A profile in Docker's file format. undefined: it says nothing, so there is no filter. Throws "invalid-parameter". */
  parse(text: string, capabilities: readonly string[]): OciSeccomp | undefined;
}
