/** The mounts of this process's namespace, from /proc/self/mountinfo (proc_pid_mountinfo(5)). */
import { readFileSync, realpathSync } from "node:fs";

export interface MountInfo {
  mountpoint: string;
  isShared: boolean;
  isSlave: boolean;
  /** "ext4" */
  type: string;
  /** A device, or what the file system calls it. */
  source: string;
}

export function parseMountInfo(text: string): MountInfo[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [first = "", second = ""] = line.split(" - ");
      const fields = first.split(" ");
      const [type = "", source = ""] = second.split(" ");
      const tags = fields.slice(6);
      return { mountpoint: unescape(fields[4] ?? ""), isShared: tags.some((tag) => tag.startsWith("shared:")), isSlave: tags.some((tag) => tag.startsWith("master:")), type, source: unescape(source) };
    });
}

/** The id of the topmost mount at a path of the namespace that the text is of. */
export function mountIdAt(text: string, path: string): number | undefined {
  const line = text.split("\n").findLast((one) => unescape(one.split(" ")[4] ?? "") === path);
  return line === undefined ? undefined : Number(line.split(" ", 1)[0]);
}

const unescape = (path: string): string => path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The mount that a path lies on, after its links; of several at one point the last, which covers the others. */
export function mountOf(path: string, text: string = readFileSync("/proc/self/mountinfo", "utf8")): MountInfo {
  const real = realpathSync(path);
  let found: MountInfo = { mountpoint: "/", isShared: false, isSlave: false, type: "", source: "" };
  for (const mount of parseMountInfo(text)) {
    const covers = mount.mountpoint === "/" || real === mount.mountpoint || real.startsWith(`${mount.mountpoint}/`);
    if (covers && mount.mountpoint.length >= found.mountpoint.length) found = mount;
  }
  return found;
}
