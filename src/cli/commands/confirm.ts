import { StatusError } from "../status-error.ts";
import { stdout } from "../streams.ts";

/** Asks for a "y". Throws a StatusError that says nothing otherwise: it is no failure to change one's mind, not by a signal either. */
export async function confirm(question: string): Promise<void> {
  // Before the question: who reads it may answer by a signal at once.
  const signals = interrupted();
  stdout.write(`${question} [y/N] `);
  const answer = await Promise.race([line(), signals.given]).finally(signals.ignore);
  if (answer?.trim().toLowerCase() === "y") return;
  if (answer === undefined) stdout.write("\n");
  throw new StatusError(0);
}

/** One line of the standard input, or what is there of it at its end. */
function line(): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const { stdin } = process;
    const ended = (): void => {
      stdin.pause();
      resolve(text.replace(/\n[^]*/, ""));
    };
    stdin.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("\n")) ended();
    });
    stdin.once("end", ended).once("error", reject);
  });
}

/** Until `ignore` is called: what follows the answer ends by signals as any program does. */
function interrupted(): { given: Promise<undefined>; ignore: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const given = (): void => resolve(undefined);
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, given);
  return { given: promise, ignore: () => signals.forEach((signal) => process.off(signal, given)) };
}
