/** For tests that need real namespaces: running commands inside one, and knowing whether that is possible here. */
import { spawnSync } from "node:child_process";
import { until } from "../../lib/eventually.testing.ts";
import { openNetworkKernel } from "./kernel.ts";
import type { OpenNamespace } from "./kernel.ts";

export const createSandboxNamespace = (): Promise<OpenNamespace> => openNetworkKernel().createSandbox();

/** false, or why tests with network namespaces cannot run. */
export const cannotUnshare: string | false = process.getuid?.() === 0 ? false : "making network namespaces needs root";

/** The output of a shell command in the namespace; throws with its error output when it fails. */
export function inNamespace(netns: { readonly fd: number }, command: string): string {
  const result = runInNamespace(netns, command);
  if (result.status !== 0) throw new Error(`${command}: exit ${result.status}: ${result.stderr}`);
  return result.stdout;
}

export function runInNamespace(netns: { readonly fd: number }, command: string): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync("nsenter", [`--net=/proc/${process.pid}/fd/${netns.fd}`, "sh", "-c", command], { encoding: "utf8", timeout: 120_000 });
  return { status, stdout, stderr };
}

/** Resolves once a packet to `address` is answered: an interface that is new may need a second until the kernel lets any pass. */
export const reaches = (netns: { readonly fd: number }, address: string, what = ""): Promise<void> => until(`${address} is reached ${what}`, () => canReach(netns, address));

/** Whether one packet to `address` is answered, within a second. For what must not be reached, and for loops. */
export const canReach = (netns: { readonly fd: number }, address: string): boolean => runInNamespace(netns, `ping -n -c 1 -W 1 ${address}`).status === 0;
