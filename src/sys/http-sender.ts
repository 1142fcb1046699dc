/** Requests with small answers over a kept connection, as log servers want them. Proxies are those of the environment. */
import type { Agent, IncomingMessage } from "node:http";
import type { SecureContextOptions } from "node:tls";

export interface HttpRequest {
  method: string;
  url: URL;
  headers?: Readonly<Record<string, string>>;
  body?: Buffer;
}

export interface HttpAnswer {
  status: number;
  /** "404 Not Found" */
  line: string;
  /** The beginning of it. */
  text: string;
}

export interface HttpSenderOptions {
  tls?: SecureContextOptions & { servername?: string; rejectUnauthorized?: boolean };
  answerBytes?: number;
  patienceMilliseconds?: number;
}

export class HttpSender {
  readonly #options: HttpSenderOptions;
  #agents = new Map<string, Agent>();

  constructor(options: HttpSenderOptions = {}) {
    this.#options = options;
  }

  /** Rejects when there is no answer. */
  ask({ method, url, headers = {}, body }: HttpRequest): Promise<HttpAnswer> {
    const { answerBytes = 4096, patienceMilliseconds = 30_000 } = this.#options;
    const http = process.getBuiltinModule(url.protocol === "https:" ? "node:https" : "node:http");
    const agent = this.#agents.get(url.protocol) ?? new http.Agent({ keepAlive: true, maxSockets: 1, proxyEnv: process.env, ...(url.protocol === "https:" && this.#options.tls) });
    this.#agents.set(url.protocol, agent);
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "content-length": String(body.length) };
      const asked = http.request(url, { method, agent, headers: { ...headers, ...length } }, (answer) => void read(answer, answerBytes).then(resolve, reject));
      asked.setTimeout(patienceMilliseconds, () => asked.destroy(new Error("i/o timeout")));
      asked.on("error", reject);
      asked.end(body);
    });
  }

  /** A request after it connects again. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents = new Map();
  }
}

async function read(answer: IncomingMessage, most: number): Promise<HttpAnswer> {
  const { statusCode = 0, statusMessage = "" } = answer;
  let text = "";
  for await (const chunk of answer) if (text.length < most) text += String(chunk);
  return { status: statusCode, line: `${statusCode} ${statusMessage}`, text: text.slice(0, most) };
}
