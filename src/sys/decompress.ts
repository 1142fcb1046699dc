/** Archives in compressions that layers do not have: bzip2 and xz are inflated by the machine's programs of those names, as Docker does with xz. */
import { systemError } from "../lib/errors.ts";

interface Program {
  name: string;
  args: readonly string[];
}

const magicBytes = 6;
/** What a stranger's archive may make xz take: its strongest preset needs 65 MiB. */
const mostMemory = "256MiB";
const nobody = 65534;

function programFor(head: Uint8Array): Program | undefined {
  const magic = Buffer.from(head.buffer, head.byteOffset, head.length).toString("latin1", 0, magicBytes);
  if (magic === "\xfd7zXZ\0") return { name: "xz", args: ["-dcq", `--memlimit-decompress=${mostMemory}`] };
  return /^BZh[1-9]/.test(magic) ? { name: "bzip2", args: ["-dcq"] } : undefined;
}

/** From the first bytes: whether `decompressed` needs a program for the rest. */
export const needsProgram = (head: Uint8Array): boolean => programFor(head) !== undefined;

/** Inflates what is bzip2 or xz, and passes everything else on. "system" without the program, and for what it cannot read. */
export async function* decompressed(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = bytes[Symbol.asyncIterator]();
  try {
    let head: Uint8Array = new Uint8Array();
    while (head.length < magicBytes) {
      const { value, done } = await source.next();
      if (done === true) break;
      head = head.length === 0 && value.length >= magicBytes ? value : Buffer.concat([head, value]);
    }
    const program = programFor(head);
    const all = joined(head, source);
    yield* program ? inflated(program, all) : all;
  } finally {
    await source.return?.();
  }
}

async function* joined(head: Uint8Array, source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  for (let next = await source.next(); next.done !== true; next = await source.next()) yield next.value;
}

/** The program sees nothing of the daemon's environment, and has no rights. */
async function* inflated({ name, args }: Program, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { spawn } = process.getBuiltinModule("node:child_process");
  const { pipeline } = process.getBuiltinModule("node:stream/promises");
  const rights = process.geteuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
  const child = spawn(name, args, { cwd: "/", env: { PATH: process.env["PATH"], LC_ALL: "C" }, stdio: "pipe", ...rights });
  const ended = Promise.withResolvers<number>();
  child.once("error", (error: NodeJS.ErrnoException) => ended.reject(systemError(error.code === "ENOENT" ? `exec: ${JSON.stringify(name)}: executable file not found in $PATH: archives in its compression cannot be read without it` : `${name}: ${error.message}`)));
  child.once("close", (status) => ended.resolve(status ?? 1));
  ended.promise.catch(() => undefined);
  let said = "";
  child.stderr.on("data", (text: Buffer) => (said = (said + text.toString()).slice(0, 500)));
  let failure: unknown;
  const fed = pipeline(bytes, child.stdin).catch((error: unknown) => {
    /* A program that has seen enough closes its end. */
    if (!isClosed(error)) failure = error;
    child.kill("SIGKILL");
  });
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    await fed;
    const status = await ended.promise;
    if (failure !== undefined) throw failure;
    if (status !== 0) throw systemError(`invalid ${name} data: ${said.trim() || "unexpected end"}`);
  } finally {
    child.kill("SIGKILL");
    child.stdin.destroy();
    await ended.promise.catch(() => undefined);
  }
}

const isClosed = (error: unknown): boolean => ["EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET", "ENOTCONN"].includes(String((error as NodeJS.ErrnoException).code));
