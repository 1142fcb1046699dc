/** A system user that nobody logs in as, with subordinate ids that are nobody else's, by the system's own programs. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const FIRST = 100_000;
const SIZE = 65_536;

/** Throws what the programs say. */
export function addRemapUser(name: string): void {
  run("useradd", ["--system", "--user-group", "--no-create-home", "--shell", "/bin/false", name]);
  const options = [
    ...(hasRange("/etc/subuid", name) ? [] : ["--add-subuids", freeRange("/etc/subuid")]),
    ...(hasRange("/etc/subgid", name) ? [] : ["--add-subgids", freeRange("/etc/subgid")]),
  ];
  if (options.length > 0) run("usermod", [...options, name]);
}

const hasRange = (path: string, name: string): boolean => linesOf(path).some((line) => line.startsWith(`${name}:`));

/** Behind all that there are. */
function freeRange(path: string): string {
  const ends = linesOf(path).map((line) => line.split(":").slice(1).map(Number)).map(([first = 0, size = 0]) => first + size);
  const first = Math.max(FIRST, ...ends.filter(Number.isSafeInteger));
  return `${first}-${first + SIZE - 1}`;
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n").filter((line) => line !== "");
  } catch {
    return [];
  }
}

function run(program: string, args: string[]): void {
  try {
    execFileSync(program, args, { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8", timeout: 30_000 });
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    throw new Error(code === "ENOENT" ? `there is no program ${program}` : `${program}: ${stderr?.trim() || message}`);
  }
}
