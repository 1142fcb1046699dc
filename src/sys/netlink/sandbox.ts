/** A namespace for a container: empty but for its loopback, which is up. */
import { openNetworkKernel } from "./kernel.ts";
import { Netns } from "./netns.ts";

const LOOPBACK_INDEX = 1;

export async function createSandboxNamespace(): Promise<Netns> {
  const netns = await Netns.create();
  try {
    await openNetworkKernel(netns.fd).apply([{ op: "setLink", link: { index: LOOPBACK_INDEX }, up: true }]);
    return netns;
  } catch (error) {
    netns.close();
    throw error;
  }
}
