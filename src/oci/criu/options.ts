/** Settings of criu that every checkpoint and restore of a container has. */
import type { CriuOptions } from "./message.ts";
import { cgroupMode } from "./message.ts";

/** CLONE_NEWNET: what is in the network namespace is restored by whoever made it. */
const networkNamespace = 0x40000000;

/** `images`: an open folder, which criu reaches by /proc/PID/fd of its caller. */
export function standardOptions(images: number, annotations: Readonly<Record<string, string>> = {}, manageCgroups: number = cgroupMode[""]): CriuOptions {
  // "" in the annotation: none at all.
  const configFile = annotations["org.criu.config"] ?? "/etc/criu/runc.conf";
  return { imagesDirFd: images, ...(configFile !== "" && { configFile }), manageCgroups, emptyNamespaces: networkNamespace, orphanTerminals: true };
}
