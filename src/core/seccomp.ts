/** Where the engine gets a container's `linux.seccomp` from; the runtime's part knows the profiles and the machine. */
import type { OciSeccomp } from "../lib/oci-spec.ts";

export interface SeccompProfiles {
  /** The profile of a container that chooses none, Docker's default unless the daemon has another, for these bounding capabilities; undefined: no filter. The same object for the same set: the
   *  runtime finds its compiled filter by it. */
  builtin(capabilities: readonly string[]): OciSeccomp | undefined;
  /** A profile in Docker's file format. undefined: it says nothing, so there is no filter. Throws "invalid-parameter". */
  parse(text: string, capabilities: readonly string[]): OciSeccomp | undefined;
}
