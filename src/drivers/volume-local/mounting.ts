/** Mounting what a volume's options say on its folder. */
import { systemError } from "../../lib/errors.ts";
import { detach, errnoMessage, flag, mount } from "../../sys/mounts.ts";
import { parseMountWords } from "../../sys/mount-words.ts";
import { withAddresses } from "./network-address.ts";
import type { Options } from "./options.ts";

interface Step {
  name: "mount" | "remount" | "remount-ro";
  device: string;
  type: string;
  flags: number;
  data: string;
}

/** Throws "system" with Docker's words; then nothing is mounted. */
export async function mountOptions(options: Options, target: string): Promise<void> {
  const { device, words } = await withAddresses(options);
  const { flags, propagation, data } = parseMountWords(words);
  const steps: Step[] = [{ name: "mount", device, type: options["type"] ?? "", flags, data }];
  if (propagation !== 0) steps.push({ name: "remount", device: "", type: "", flags: propagation, data: "" });
  // mount(2) ignores MS_RDONLY with MS_BIND.
  const boundReadOnly = flag.bind | flag.rdonly;
  if ((flags & boundReadOnly) === boundReadOnly) steps.push({ name: "remount-ro", device: "", type: "", flags: flags | flag.remount, data: "" });
  for (const [at, step] of steps.entries()) {
    try {
      await mount(step.device, target, step.type, step.flags, step.data);
    } catch (error) {
      if (at > 0) await detach(target);
      throw systemError(`failed to mount local volume: ${withoutPassword(describe(step, target), words)}: ${errnoMessage(error)}`, error);
    }
  }
}

function describe({ name, device, flags, data }: Step, target: string): string {
  const place = device === "" ? target : `${device}:${target}`;
  return `${name} ${place}${flags === 0 ? "" : `, flags: 0x${flags.toString(16)}`}${data === "" ? "" : `, data: ${data}`}`;
}

function withoutPassword(text: string, words: string): string {
  const password = /(?:^|,)password=([^,]+)/.exec(words)?.[1];
  return password === undefined ? text : text.replace(`password=${password}`, "password=********");
}
