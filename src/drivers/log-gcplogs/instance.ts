/** Which project entries are of, and which machine: that of Google's metadata server where it runs there, else what the options say. */
import { readFileSync } from "node:fs";
import type { Source } from "./account.ts";

export interface Instance {
  zone?: string;
  name?: string;
  id?: string;
}

const METADATA_HOST = "169.254.169.254";

const productName = (): string => {
  try {
    return readFileSync("/sys/class/dmi/id/product_name", "utf8").trim();
  } catch {
    return "";
  }
};

export const isOnGoogle = (env: Source["env"], product = productName): boolean => Boolean(env["GCE_METADATA_HOST"]) || /^Google( Compute Engine)?$/.test(product());

export async function readMetadata({ env, http }: Source, path: string): Promise<string> {
  const url = new URL(`http://${env["GCE_METADATA_HOST"] || METADATA_HOST}/computeMetadata/v1/${path}`);
  const { status, line, text } = await http.ask({ method: "GET", url, headers: { "metadata-flavor": "Google" } });
  if (status !== 200) throw new Error(`${url.href}: ${line}`);
  return text;
}

/** Rejects in Docker's words when nobody names a project. */
export async function findInstance(options: Readonly<Record<string, string>>, source: Source & { productName?: () => string }): Promise<{ project: string; instance: Instance | undefined }> {
  const onGoogle = isOnGoogle(source.env, source.productName);
  const read = (path: string): Promise<string> => readMetadata(source, path).then((text) => text.trim(), () => "");
  const project = options["gcp-project"] || (onGoogle ? await read("project/project-id") : "");
  if (project === "") throw new Error("No project was specified and couldn't read project from the metadata server. Please specify a project");
  if (onGoogle) return { project, instance: said({ zone: (await read("instance/zone")).split("/").at(-1), name: await read("instance/name"), id: await read("instance/id") }) };
  const instance = said({ zone: options["gcp-meta-zone"], name: options["gcp-meta-name"], id: options["gcp-meta-id"] });
  return { project, instance: Object.keys(instance).length > 0 ? instance : undefined };
}

const said = (instance: { [Key in keyof Instance]: string | undefined }): Instance => Object.fromEntries(Object.entries(instance).filter(([, value]) => value));
