/** Asking a plugin: one HTTP request with a JSON body for each call. */
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { readFileSync } from "node:fs";
import { MethodMissing } from "../../core/plugins.ts";
import type { PluginAnswer } from "../../core/plugins.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import type { PluginAddress, PluginTls } from "./discovery.ts";

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";
/** A hostile or broken plugin must not fill the daemon's memory. */
const MAX_ANSWER_BYTES = 1024 * 1024;
/** How long one call may take. */
const CALL_MILLISECONDS = 120_000;
/** A plugin that is being restarted is tried again so long. */
const RETRY_MILLISECONDS = 10_000;
const PAUSE_MILLISECONDS = 100;

export interface CallLimits {
  callMilliseconds?: number;
  retryMilliseconds?: number;
}

/** Throws "system" with the plugin's own words, or why it could not be asked. */
export async function callPlugin(address: PluginAddress, method: string, request: object, { callMilliseconds = CALL_MILLISECONDS, retryMilliseconds = RETRY_MILLISECONDS }: CallLimits = {}): Promise<PluginAnswer> {
  const body = Buffer.from(JSON.stringify(request));
  const end = performance.now() + retryMilliseconds;
  for (;;) {
    try {
      return await callOnce(address, method, { body, milliseconds: callMilliseconds });
    } catch (error) {
      if (!isAbsent(error) || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    }
  }
}

/** Nobody listens: the call has not reached anyone, and can be made again. */
const isAbsent = (error: unknown): boolean => ["ENOENT", "ECONNREFUSED"].includes(((error as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? "");

function callOnce(address: PluginAddress, method: string, { body, milliseconds }: { body: Buffer; milliseconds: number }): Promise<PluginAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => reject(systemError(`${method}: ${messageOf(cause)}`, cause));
    let request: ClientRequest;
    try {
      request = open(address, { method: "POST", path: `/${method}`, headers: { accept: CONTENT_TYPE, "content-type": CONTENT_TYPE, "content-length": body.length, host: "plugin" }, timeout: milliseconds });
    } catch (cause) {
      return fail(cause);
    }
    const timer = setTimeout(() => request.destroy(new Error(`the plugin has not answered for ${milliseconds / 1000} seconds`)), milliseconds);
    const settle = (): void => clearTimeout(timer);
    request.once("error", (error) => {
      settle();
      fail(error);
    });
    request.once("response", (response) => {
      read(response).then(
        (text) => {
          settle();
          answerOf(method, response.statusCode ?? 0, text).then(resolve, reject);
        },
        (error: unknown) => {
          settle();
          request.destroy();
          fail(error);
        },
      );
    });
    request.end(body);
  });
}

function open({ url, tls }: PluginAddress, options: RequestOptions): ClientRequest {
  if (url.startsWith("unix://")) return process.getBuiltinModule("node:http").request({ ...options, socketPath: url.slice("unix://".length), agent: false });
  const { hostname, port } = new URL(url.replace(/^tcp:/, "http:"));
  const target = { ...options, hostname: hostname.replace(/^\[|\]$/g, ""), port: port || undefined, agent: false as const };
  if (tls === undefined && !url.startsWith("https:")) return process.getBuiltinModule("node:http").request(target);
  return process.getBuiltinModule("node:https").request({ ...target, ...certificates(tls) });
}

function certificates(tls: PluginTls | undefined): object {
  if (!tls) return {};
  const optional = (key: string, path: string): object => (path === "" ? {} : { [key]: readFileSync(path) });
  return { ...optional("ca", tls.caFile), ...optional("cert", tls.certFile), ...optional("key", tls.keyFile), rejectUnauthorized: !tls.insecureSkipVerify };
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`the plugin's answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Refusals are in "Err", with any status. */
async function answerOf(method: string, status: number, text: string): Promise<PluginAnswer> {
  const missing = status === 404 ? new MethodMissing() : undefined;
  let answer: unknown;
  try {
    answer = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    throw systemError(status === 200 ? `${method}: the plugin's answer is no JSON` : `${method}: ${text.trim().slice(0, 500) || `status ${status}`}`, missing);
  }
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) throw systemError(`${method}: the plugin's answer is no object`);
  const { Err: refusal, Error: older } = answer as { Err?: unknown; Error?: unknown };
  const reason = [refusal, older].find((value) => typeof value === "string" && value !== "");
  if (reason !== undefined) throw systemError(`${method}: ${String(reason).slice(0, 2000)}`, missing);
  if (status !== 200) throw systemError(`${method}: status ${status}`, missing);
  return answer as PluginAnswer;
}
