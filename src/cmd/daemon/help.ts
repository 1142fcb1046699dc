/** What --help prints. */
import { DAEMON_OPTIONS, type DaemonOption } from "./options.ts";

const WIDTH = 100;

export function helpText(): string {
  const options = DAEMON_OPTIONS.filter(({ support, flag }) => support === "done" && flag !== "");
  const heads = options.map(head);
  const column = Math.max(...heads.map((text) => text.length)) + 3;
  const lines = options.map((option, index) => (heads[index] as string).padEnd(column) + wrapped(option.help + defaultOf(option), column));
  const accepted = DAEMON_OPTIONS.filter(({ support }) => support === "moot").map(({ flag }) => `--${flag}`);
  const later = DAEMON_OPTIONS.filter(({ support, flag }) => support === "refused" && flag !== "").map(({ flag }) => `--${flag}`);
  return [
    "Usage:  gantryd [OPTIONS]",
    "",
    "The Gantry engine's daemon: it serves the Docker Engine API. Containers run on without it.",
    "",
    "Options:",
    ...lines,
    "",
    `Accepted without effect: ${wrapped(accepted.join(" "), 0)}`,
    `Known, but not supported yet: ${wrapped(later.join(" "), 0)}`,
    "",
  ].join("\n");
}

function head({ flag, shorthand, type }: DaemonOption): string {
  return `  ${shorthand === undefined ? "    " : `-${shorthand}, `}--${flag}${type.word === "" ? "" : ` ${type.word}`}`;
}

function defaultOf({ type, default: initial }: DaemonOption): string {
  if (initial === undefined || initial === "" || initial === type.default || typeof initial !== "string") return "";
  return ` (default ${initial})`;
}

function wrapped(text: string, column: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) as string;
    if (line !== "" && line.length + 1 + word.length > WIDTH - column) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join(`\n${" ".repeat(column)}`);
}
