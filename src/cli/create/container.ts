/** Creating a container from the command line: the image is pulled when it is missing. */
import fs from "node:fs";
import { parsePlatform } from "../../lib/platform.ts";
import { familiarName, withDefaultTag } from "../../lib/reference.ts";
import { ApiError, path } from "../api/client.ts";
import { requireGantry } from "../api/require-gantry.ts";
import { withProxies } from "../config/file.ts";
import { parseImageName } from "../parse/reference.ts";
import { showProgress } from "../progress.ts";
import { pullImage } from "../registry/pull.ts";
import type { Session } from "../session.ts";
import { StatusError, withHelp } from "../status-error.ts";
import { stderr } from "../streams.ts";
import { useApiSocket } from "./api-socket.ts";
import { createBody } from "./body.ts";
import type { CreateBody } from "./body.ts";
import { openError } from "../open-error.ts";

const PULL_POLICIES = ["always", "missing", "never", ""];

/** The body that the command line describes. Throws StatusError 125 in the words of `command`. */
export async function bodyFromFlags(session: Session, command: "run" | "create"): Promise<CreateBody> {
  const { flags, program } = session;
  const pull = flags.string("pull");
  try {
    if (!PULL_POLICIES.includes(pull)) throw new Error(`invalid pull option: '${pull}': must be one of "always", "missing" or "never"`);
  } catch (thrown) {
    throw new StatusError(125, withHelp(program, command, thrown));
  }
  await session.client.ping();
  try {
    return createBody(flags, session.args, (given) => withProxies(session.config.data, session.client.host, given));
  } catch (thrown) {
    throw new StatusError(125, withHelp(program, command, thrown));
  }
}

interface Created {
  Id: string;
  Warnings?: string[] | null;
}

/** Creates it and answers its id. Warnings go to stderr, the id into the --cidfile. */
export async function createContainer(session: Session, body: CreateBody): Promise<string> {
  const { flags } = session;
  const giveCredentials = flags.bool("use-api-socket") ? useApiSocket(session, body) : undefined;
  const platform = flags.string("platform") || process.env["DOCKER_DEFAULT_PLATFORM"] || "";
  if (platform !== "") parsePlatform(platform);
  using idFile = new IdFile(body.HostConfig.ContainerIDFile);
  const image = parseImageName(body.Image);
  if (flags.string("pull") === "always") await pullImage(session, body.Image, { platform, quiet: flags.bool("quiet"), out: stderr });
  const { height, width } = session.out.size;
  body.HostConfig.ConsoleSize = [height, width];
  const query = { name: flags.string("name") || undefined, platform: platform || undefined };
  const create = (): Promise<Created> => session.client.json<Created>("POST", "/containers/create", { query, json: body });
  if (flags.bool("restart-unhealthy")) await requireGantry(session, "--restart-unhealthy");
  let created: Created;
  try {
    created = await create();
  } catch (thrown) {
    if (!(thrown instanceof ApiError) || thrown.status !== 404 || !image || flags.string("pull") !== "missing") throw thrown;
    const name = familiarName(withDefaultTag(image));
    if (!(name === "hello-world:latest" && (await loadShippedImage(session, "hello-world")))) {
      if (!flags.bool("quiet")) session.err.line(`Unable to find image '${name}' locally`);
      await pullImage(session, body.Image, { platform, quiet: flags.bool("quiet"), out: stderr });
    }
    created = await create();
  }
  if (flags.changed("egress")) await requireEgress(session, created.Id);
  for (const warning of created.Warnings ?? []) session.err.line(`WARNING: ${warning}`);
  idFile.write(created.Id);
  await giveCredentials?.(created.Id);
  return created.Id;
}

/** Other daemons ignore what they do not know: the container would reach everything. */
async function requireEgress(session: Session, id: string): Promise<void> {
  const { HostConfig } = await session.client.json<{ HostConfig: { Egress?: string[] } }>("GET", path`/containers/${id}/json`);
  if (HostConfig.Egress?.length) return;
  await session.client.text("DELETE", path`/containers/${id}`);
  throw new Error("--egress is only supported by gantryd: the daemon created a container without limits, and it was removed again");
}

/** Loads an image that comes with the package; false when there is none. */
async function loadShippedImage(session: Session, name: string): Promise<boolean> {
  const archive = `${session.wiring.packageRoot}/build/images/${name}.tar`;
  if (!fs.existsSync(archive)) return false;
  const response = await session.client.stream("POST", "/images/load", { query: { quiet: true }, body: fs.createReadStream(archive), headers: { "Content-Type": "application/x-tar" } });
  await showProgress(response.body, { write: () => undefined, isTerminal: false, size: { height: 0, width: 0 } });
  return true;
}

/** The file of --cidfile: it must be new, and stays only if a container was made. */
class IdFile implements Disposable {
  readonly #path: string;
  #written = false;

  constructor(path: string) {
    this.#path = path;
    if (path === "") return;
    if (fs.existsSync(path)) throw new Error(`container ID file found, make sure the other container isn't running or delete ${path}`);
    try {
      fs.writeFileSync(path, "", { flag: "w" });
    } catch (thrown) {
      throw new Error(`failed to create the container ID file: ${openError(path, thrown).message}`);
    }
  }

  write(id: string): void {
    if (this.#path === "") return;
    fs.writeFileSync(this.#path, id);
    this.#written = true;
  }

  [Symbol.dispose](): void {
    if (this.#path !== "" && !this.#written) fs.rmSync(this.#path, { force: true });
  }
}

/** What a failure before the process ran exits with, judged by its words. */
export function startFailure(program: string, thrown: unknown): StatusError {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const missing = /executable file not found|no such file or directory|system cannot find the file specified/.test(message);
  const forbidden = /permission denied|is a directory/.test(message);
  return new StatusError(missing ? 127 : forbidden ? 126 : 125, withHelp(program, "run", message));
}

export const containerPath = (id: string): string => path`/containers/${id}`;
