/** Probes without a program in the container: a check of the form CMD-SHELL whose text is a URL and nothing else, which no shell could run. */
import type { Socket } from "node:net";
import { messageOf } from "../../../lib/errors.ts";
import { parseIp } from "../../../lib/ip.ts";
import type { IpAddress } from "../../../lib/ip.ts";

export interface ProbeTarget {
  kind: "http" | "tcp";
  address: IpAddress;
  port: number;
  /** As the Host header has it. */
  host: string;
  /** With the query; "" for tcp. */
  path: string;
}

/** What of an answer is kept. */
export const ANSWER_BYTES = 4096;

const FORM = /^(http|tcp):\/\/(\[[0-9a-fA-F:.]+\]|[^\s/?#:@[\]]*)(?::(\d{1,5}))?([/?][^\s#]*)?$/;

/** undefined for what is meant for a shell. Throws an Error that says what is wrong with a URL. */
export function probeTarget(test: readonly string[] | null | undefined): ProbeTarget | undefined {
  if (test?.length !== 2 || test[0] !== "CMD-SHELL") return undefined;
  const text = test[1]!.trim();
  if (/\s/.test(text) || !/^(http|tcp):\/\//.test(text)) return undefined;
  const match = FORM.exec(text);
  if (!match) throw new Error(`the health check ${text} is neither http://[ADDRESS][:PORT][/PATH] nor tcp://[ADDRESS]:PORT`);
  const [, kind, named = "", port, path = ""] = match;
  const address = named === "" || named === "localhost" ? parseIp("127.0.0.1") : parseIp(named.replace(/^\[(.*)\]$/, "$1"));
  if (!address) throw new Error(`the health check ${text} names a host: it is made inside the container, by an address or localhost`);
  if (kind === "tcp" && (port === undefined || path !== "")) throw new Error(`the health check ${text} is not of the form tcp://[ADDRESS]:PORT`);
  const number = Number(port ?? 80);
  if (number < 1 || number > 65535) throw new Error(`the health check ${text} names no port from 1 to 65535`);
  const host = `${named === "" ? "localhost" : named}${port === undefined ? "" : `:${port}`}`;
  return { kind: kind as ProbeTarget["kind"], address, port: number, host, path: kind === "tcp" ? "" : path.startsWith("/") ? path : `/${path}` };
}

export interface ProbeAnswer {
  exitCode: number;
  output: string;
}

/** `socket` is being connected. 0 for a connection, and for a status from 200 to 399; 1 for everything else. Never rejects; destroys the socket. */
export async function probeUrl(target: ProbeTarget, socket: Socket, signal: AbortSignal): Promise<ProbeAnswer> {
  const abort = (): void => void socket.destroy(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return target.kind === "tcp" ? await connects(target, socket) : await answers(target, socket);
  } catch (error) {
    return { exitCode: 1, output: `${target.kind}://${target.host}${target.path}: ${messageOf(error)}` };
  } finally {
    signal.removeEventListener("abort", abort);
    socket.on("error", () => {});
    socket.destroy();
  }
}

/** Nothing is written: a write of no bytes ends when the connection is there. */
function connects({ host }: ProbeTarget, socket: Socket): Promise<ProbeAnswer> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("connection closed")));
    socket.write("", (error) => (error ? reject(error) : resolve({ exitCode: 0, output: `tcp://${host}: connected` })));
  });
}

function answers({ host, path }: ProbeTarget, socket: Socket): Promise<ProbeAnswer> {
  const http = process.getBuiltinModule("node:http");
  return new Promise((resolve, reject) => {
    const request = http.request({ createConnection: () => socket, path, headers: { host, "user-agent": "gantry-health", accept: "*/*", connection: "close" } });
    request.once("error", reject);
    request.once("response", (response) => {
      const status = response.statusCode ?? 0;
      const chunks: Buffer[] = [];
      let size = 0;
      const done = (): void => {
        const body = Buffer.concat(chunks).subarray(0, ANSWER_BYTES).toString();
        resolve({ exitCode: status >= 200 && status < 400 ? 0 : 1, output: `HTTP ${status} ${response.statusMessage ?? ""}`.trimEnd() + (body === "" ? "" : `\n${body}`) });
      };
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= ANSWER_BYTES) done();
      });
      response.once("end", done);
      response.once("error", reject);
    });
    request.end();
  });
}
