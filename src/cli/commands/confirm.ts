import { StatusError } from "../status-error.ts";
import { stdout } from "../streams.ts";

/** Asks for a "y". Throws a StatusError that says nothing otherwise: it is no failure to change one's mind, not by a signal either. */
export async function confirm(question: string): Promise<void> {
  // Before the question: who reads it may answer by a signal at once.
  const given = interrupted();
  stdout.write(`${question} [y/N] `);
  const answer = await Promise.race([line(), given]);
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

function interrupted(): Promise<undefined> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve(undefined));
  });
}
