/** What a running command has at hand: its flags and arguments, the configuration, the daemon. */
import fs from "node:fs";
import type { FlagValues } from "../lib/flags.ts";
import { messageOf } from "../lib/errors.ts";
import { ApiClient } from "./api/client.ts";
import { normaliseHost, openEndpoint } from "./api/endpoint.ts";
import type { Endpoint, TlsFiles } from "./api/endpoint.ts";
import { configDirectory, loadConfig } from "./config/file.ts";
import type { ConfigFile } from "./config/file.ts";
import { ContextStore, DEFAULT_CONTEXT } from "./config/contexts.ts";
import { stderr, stdout } from "./streams.ts";

export const CLIENT_VERSION = "29.7.2";
export const DEFAULT_HOST = "unix:///run/gantry/gantry.sock";

/** What src/cmd gives the client: it knows the package and the other parts of the program. */
export interface Wiring {
  /** Version of the package and the commit it was made from. */
  version: string;
  commit: string;
  packageRoot: string;
  /** Rows of `check`: what the engine uses of the kernel. */
  check?: () => Promise<{ feature: string; present: boolean; detail?: string; cost: string }[]>;
  /** Archives of this machine's own folders. */
  localFiles?: () => Promise<LocalFiles>;
  /** A blocking socket, connected to a path. Throws the errno's error. */
  connect?: (path: string) => number;
  /** Command line of the daemon, to start it in the background. */
  daemon?: string[];
}

/** Throws the errno's error. */
export interface LocalFiles {
  /** What is at the path as a tar archive whose topmost entry has the given name. */
  pack(path: string, name: string): AsyncIterable<Uint8Array>;
  /** Files get the client's user as owner. Nothing of the archive leads out of the folder. */
  unpack(folder: string, bytes: AsyncIterable<Uint8Array>): Promise<void>;
}

export type CommandRun = (session: Session) => Promise<void> | void;

export class Session {
  readonly program: string;
  /** The command as it was called, with the program: "gantry ps". */
  readonly called: string;
  readonly flags: FlagValues;
  readonly args: string[];
  readonly globals: FlagValues;
  readonly wiring: Wiring;
  readonly out = stdout;
  readonly err = stderr;
  readonly #onlyAsks: boolean;
  #config: ConfigFile | undefined;
  #client: ApiClient | undefined;

  constructor(parts: { program: string; called: string; flags: FlagValues; args: string[]; globals: FlagValues; wiring: Wiring; onlyAsks?: boolean }) {
    this.program = parts.program;
    this.called = parts.called;
    this.flags = parts.flags;
    this.args = parts.args;
    this.globals = parts.globals;
    this.wiring = parts.wiring;
    this.#onlyAsks = parts.onlyAsks === true;
  }

  get config(): ConfigFile {
    this.#config ??= loadConfig(configDirectory(this.globals.string("config")));
    return this.#config;
  }

  get contexts(): ContextStore {
    return new ContextStore(this.config.directory);
  }

  get debug(): boolean {
    return this.globals.bool("debug") || process.env["DOCKER_DEBUG"] === "1" || ["debug", "trace"].includes(this.globals.string("log-level"));
  }

  /** The name of the context in effect, by Docker's order of precedence. */
  get contextName(): string {
    const asked = this.globals.string("context");
    if (asked !== "") return asked;
    if (this.globals.changed("host") || process.env["DOCKER_HOST"]) return DEFAULT_CONTEXT;
    return process.env["DOCKER_CONTEXT"] || this.config.data.currentContext || DEFAULT_CONTEXT;
  }

  /** Nobody said which daemon: ours may be started. */
  get hostIsDefault(): boolean {
    return !this.globals.changed("host") && !process.env["DOCKER_HOST"] && this.contextName === DEFAULT_CONTEXT;
  }

  get client(): ApiClient {
    this.#client ??= this.#openClient();
    return this.#client;
  }

  close(): void {
    this.#client?.close();
  }

  #openClient(): ApiClient {
    let endpoint: Endpoint;
    try {
      endpoint = this.#endpoint();
    } catch (thrown) {
      throw new Error(`Failed to initialize: unable to resolve docker endpoint: ${messageOf(thrown)}`);
    }
    return new ApiClient({
      endpoint,
      headers: { ...this.config.data.HttpHeaders, ...customHeaders() },
      apiVersion: askedVersion(),
      userAgent: `Docker-Client/${CLIENT_VERSION} (linux)`,
      onUnreachable: this.hostIsDefault ? async () => (await import("./start-daemon.ts")).startDaemon(this, endpoint) : undefined,
      log: this.debug ? (message) => this.err.line(`DEBUG: ${message}`) : undefined,
    });
  }

  /** Throws where the client was put together without. */
  async localFiles(): Promise<LocalFiles> {
    if (!this.wiring.localFiles) throw new Error("this client cannot read or write archives");
    return await this.wiring.localFiles();
  }

  get #connect(): Wiring["connect"] {
    return this.#onlyAsks ? this.wiring.connect : undefined;
  }

  #endpoint(): Endpoint {
    const name = this.contextName;
    if (name === DEFAULT_CONTEXT) {
      const tls = this.#tls();
      const host = this.globals.string("host") || process.env["DOCKER_HOST"] || "";
      return openEndpoint(host === "" ? DEFAULT_HOST : normaliseHost(host, tls !== undefined), tls, this.#connect);
    }
    const docker = this.contexts.get(name).Endpoints["docker"];
    if (!docker) throw new Error(`context ${JSON.stringify(name)}: no docker endpoint configured`);
    const files = this.contexts.tlsFiles(name);
    const secure = Object.keys(files).length > 0 || docker.SkipTLSVerify === true;
    const tls = secure ? { ...files, verify: docker.SkipTLSVerify !== true } : undefined;
    return openEndpoint(docker.Host ? normaliseHost(docker.Host, secure) : DEFAULT_HOST, tls, this.#connect);
  }

  /** TLS as the flags and the environment ask for it; undefined for plain connections. */
  #tls(): TlsFiles | undefined {
    const { globals } = this;
    const verify = globals.changed("tlsverify") ? globals.bool("tlsverify") : Boolean(process.env["DOCKER_TLS_VERIFY"]);
    const wanted = globals.changed("tls") ? globals.bool("tls") : Boolean(process.env["DOCKER_TLS"]);
    if (!wanted && !verify && !globals.changed("tlsverify")) return undefined;
    const folder = process.env["DOCKER_CERT_PATH"] || this.config.directory;
    const file = (flag: string, name: string): string | undefined => {
      if (globals.changed(flag)) return globals.string(flag);
      const path = `${folder}/${name}`;
      return name === "ca.pem" || fs.existsSync(path) ? path : undefined;
    };
    return { ca: file("tlscacert", "ca.pem"), cert: file("tlscert", "cert.pem"), key: file("tlskey", "key.pem"), verify };
  }
}

function askedVersion(): string | undefined {
  const version = process.env["DOCKER_API_VERSION"]?.replace(/^v/, "") || undefined;
  if (version !== undefined && !/^\d+\.\d+$/.test(version)) throw new Error(`Failed to initialize: invalid API version (${version}): must be formatted <major>.<minor>`);
  return version;
}

/** DOCKER_CUSTOM_HEADERS: name=value pairs, separated by commas. */
function customHeaders(): Record<string, string> {
  const text = process.env["DOCKER_CUSTOM_HEADERS"];
  if (!text) return {};
  return Object.fromEntries(
    text.split(",").map((pair) => {
      const equals = pair.indexOf("=");
      const problem = equals < 0 ? `missing "=" in key=value pair: '${pair}'` : pair.slice(0, equals).trim() === "" ? `value contains a key=value pair with an empty key: '${pair}'` : undefined;
      if (problem !== undefined) throw new Error(`Failed to initialize: failed to set custom headers from DOCKER_CUSTOM_HEADERS environment variable: ${problem}`);
      return [pair.slice(0, equals).trim(), pair.slice(equals + 1)];
    }),
  );
}
