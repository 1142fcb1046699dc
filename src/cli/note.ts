/** Notes and warnings for people, coloured on a terminal. */
import type { OutputStream } from "./streams.ts";

const KINDS = {
  Info: { plain: " Info -> ", fancy: "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m" },
  Warn: { plain: " Warn -> ", fancy: "\x1b[1m\x1b[103m\x1b[30mw\x1b[0m\x1b[0m \x1b[93mWarn → \x1b[0m\x1b[0m" },
};
const WIDTH = 9;

export function printNote(out: Pick<OutputStream, "write" | "isTerminal">, kind: keyof typeof KINDS, text: string): void {
  const coloured = out.isTerminal && !process.env["NO_COLOR"];
  const header = coloured ? KINDS[kind].fancy : KINDS[kind].plain;
  const lines = (coloured ? text.replaceAll("--platform", "\x1b[1m--platform\x1b[0m") : text).split("\n").map((line) => (coloured ? `\x1b[3m${line}\x1b[0m` : line));
  out.write(`\n${header}${lines.join(`\n${" ".repeat(WIDTH)}`)}\n`);
}
