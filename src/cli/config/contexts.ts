/**
 * Docker's contexts on disk:
 *
 *     <config>/contexts/meta/<sha256 of the name>/meta.json
 *     <config>/contexts/tls/<sha256 of the name>/<endpoint>/{ca,cert,key}.pem
 */
import fs from "node:fs";

export const DEFAULT_CONTEXT = "default";
export const DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration";

export interface ContextMeta {
  Name: string;
  Metadata: { Description?: string; [other: string]: unknown };
  Endpoints: Record<string, { Host?: string; SkipTLSVerify?: boolean }>;
}

const TLS_NAMES = ["ca", "cert", "key"] as const;
export type TlsMaterial = Partial<Record<(typeof TLS_NAMES)[number], Buffer>>;

export class ContextStore {
  readonly #root: string;

  constructor(configDirectory: string) {
    this.#root = `${configDirectory}/contexts`;
  }

  metaDirectory(name: string): string {
    return `${this.#root}/meta/${digest(name)}`;
  }

  tlsDirectory(name: string): string {
    return `${this.#root}/tls/${digest(name)}`;
  }

  names(): string[] {
    return this.list().map((meta) => meta.Name);
  }

  list(): ContextMeta[] {
    let folders: string[] = [];
    try {
      folders = fs.readdirSync(`${this.#root}/meta`);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    }
    const metas = folders.map((folder) => readMeta(`${this.#root}/meta/${folder}/meta.json`));
    return metas.sort((one, two) => (one.Name < two.Name ? -1 : 1));
  }

  /** Throws an Error with Docker's words when there is none of that name. */
  get(name: string): ContextMeta {
    const file = `${this.metaDirectory(name)}/meta.json`;
    try {
      return readMeta(file);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
      throw new Error(`context ${JSON.stringify(name)}: context not found: open ${file}: no such file or directory`);
    }
  }

  has(name: string): boolean {
    return fs.existsSync(`${this.metaDirectory(name)}/meta.json`);
  }

  save(meta: ContextMeta): void {
    fs.mkdirSync(this.metaDirectory(meta.Name), { recursive: true, mode: 0o755 });
    const file = `${this.metaDirectory(meta.Name)}/meta.json`;
    fs.writeFileSync(`${file}.new`, JSON.stringify(meta), { mode: 0o644 });
    fs.renameSync(`${file}.new`, file);
  }

  remove(name: string): void {
    fs.rmSync(this.metaDirectory(name), { recursive: true, force: true });
    fs.rmSync(this.tlsDirectory(name), { recursive: true, force: true });
  }

  /** The files of the docker endpoint's TLS material that exist. */
  tlsFiles(name: string): Partial<Record<(typeof TLS_NAMES)[number], string>> {
    const folder = `${this.tlsDirectory(name)}/docker`;
    return Object.fromEntries(TLS_NAMES.map((part) => [part, `${folder}/${part}.pem`]).filter(([, file]) => fs.existsSync(file as string)));
  }

  saveTls(name: string, material: TlsMaterial, endpoint = "docker"): void {
    const folder = `${this.tlsDirectory(name)}/${endpoint}`;
    fs.rmSync(folder, { recursive: true, force: true });
    if (Object.keys(material).length === 0) return;
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const part of TLS_NAMES) {
      const data = material[part];
      if (data) fs.writeFileSync(`${folder}/${part}.pem`, data, { mode: 0o600 });
    }
  }
}

const digest = (name: string): string => process.getBuiltinModule("node:crypto").createHash("sha256").update(name).digest("hex");

function readMeta(file: string): ContextMeta {
  const meta = JSON.parse(fs.readFileSync(file, "utf8")) as Partial<ContextMeta>;
  return { Name: meta.Name ?? "", Metadata: meta.Metadata ?? {}, Endpoints: meta.Endpoints ?? {} };
}

const VALID_NAME = "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$";

export function validateContextName(name: string): void {
  if (name === "") throw new Error("context name cannot be empty");
  if (name === DEFAULT_CONTEXT) throw new Error('"default" is a reserved context name');
  if (!new RegExp(VALID_NAME).test(name)) throw new Error(`context name ${JSON.stringify(name)} is invalid, names are validated against regexp ${JSON.stringify(VALID_NAME)}`);
}
