/** Checks and sizes of terminals. */
import { path } from "../api/client.ts";
import type { ApiClient } from "../api/client.ts";
import { stderr, stdin, stdout } from "../streams.ts";

/** A container's terminal can only be fed from a terminal. */
export function checkTerminal(attachStdin: boolean, tty: boolean): void {
  if (attachStdin && tty && !stdin.isTerminal) throw new Error("cannot attach stdin to a TTY-enabled container because stdin is not a terminal");
}

const RETRIES = 10;

/** Gives the other terminal the size of this one, now and whenever it changes. */
export async function followTerminalSize(client: ApiClient, target: { kind: "containers" | "exec"; id: string }): Promise<void> {
  const resize = async (): Promise<boolean> => {
    const { height, width } = stdout.size;
    if (height === 0 && width === 0) return true;
    return resizeTo(client, target, { height, width });
  };
  process.stdout.on("resize", () => void resize());
  for (let attempt = 1; attempt <= RETRIES; attempt++) {
    if (await resize()) return;
    await new Promise((resolve) => setTimeout(resolve, attempt * 10));
  }
  stderr.line("failed to resize tty, using default size");
}

export async function resizeTo(client: ApiClient, target: { kind: "containers" | "exec"; id: string }, size: { height: number; width: number }): Promise<boolean> {
  try {
    await client.text("POST", path`/${target.kind}/${target.id}/resize`, { query: { h: size.height, w: size.width } });
    return true;
  } catch {
    return false;
  }
}
