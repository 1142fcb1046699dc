/** The first part of docs/compatibility.md, from the descriptions of requests: every field and what the engine makes of it. */
import type { Fields, Schema, Support } from "../lib/schema.ts";
import { configSchema, hostConfigSchema, networkingConfigSchema, updateRequestSchema } from "./container-config.ts";

export interface FieldSupport extends Support {
  /** "Mounts[].BindOptions.Propagation" */
  path: string;
}

const SECTIONS: readonly [title: string, intro: string, schema: Schema][] = [
  ["Config", "The body of `POST /containers/create`, beside HostConfig and NetworkingConfig.", configSchema],
  ["HostConfig", "", hostConfigSchema],
  ["NetworkingConfig", "What an endpoint has while it runs is shown by inspect and ignored in a request, as in Docker.", networkingConfigSchema],
];

export function fieldsPage(): string {
  return `# Compatibility: fields, flags and options

This page is made from the tables that also decode requests, command lines and the daemon's file by \`node scripts/compatibility.ts\`; a test keeps it current.
Unknown keys are ignored and keys match without regard to case, as in Docker.

- **done**: works as in Docker.
- **partly**: some values work, the others are refused by an error that names them.
- **refused**: not there yet; a request that sets it gets an error that names it, at create when nothing else can come of it, otherwise at the start.
- **no meaning**: kept and shown, but nothing on Linux follows from it.
${SECTIONS.map(([title, intro, schema]) => section(title, intro, supportOf(schema))).join("")}
## Update

\`POST /containers/{id}/update\` changes ${updatable().join(", ")}. Devices, rules, limits of processes (Ulimits) and CgroupParent of a container cannot change.
PublishAdd and PublishRemove are Gantry's own, in the form of PortBindings: ports that are published from now on, of a running container without a restart, and bindings that end
(one without a host port, or none for a port, stands for all of that port). Everything is refused, with nothing changed, where a host port is taken or what shall go is not there.
LabelAdd, LabelRemove, EnvAdd (NAME=VALUE) and EnvRemove are Gantry's own, too: labels at once, variables for programs that start from now on. MountAdd, as HostConfig.Mounts, and MountRemove (destinations) change binds and volumes, in a request of their own. LogOptAdd and LogOptRemove are options of the log driver, of a running container from its next line on. See docs/containers.md.
`;
}

function section(title: string, intro: string, fields: readonly FieldSupport[]): string {
  const rows = fields.map(({ path, status, note }) => `| ${path} | ${status} | ${note} |`);
  return `\n## ${title}\n${intro === "" ? "" : `\n${intro}\n`}\n| field | status | |\n|---|---|---|\n${rows.join("\n")}\n`;
}

const FIXED = new Set(["Devices", "DeviceCgroupRules", "DeviceRequests", "Ulimits", "CgroupParent", "OomKillDisable", "MemorySwappiness"]);

function updatable(): string[] {
  return Object.entries(fieldsIn(updateRequestSchema) ?? {}).flatMap(([name, field]) => (FIXED.has(name) || field.support?.status === "no meaning" ? [] : [name]));
}

/** Every field of a struct, those of structs in it after their own. Throws for a field that says nothing of itself. */
export function supportOf(schema: Schema, prefix = ""): FieldSupport[] {
  return Object.entries(fieldsIn(schema) ?? {}).flatMap(([name, { schema: inner, support }]) => {
    const path = `${prefix}${name}`;
    if (!support) throw new Error(`${path} has no status`);
    return [{ path, ...support }, ...supportOf(inner, `${path}${holdsMany(inner) ? "[]" : ""}.`)];
  });
}

/** Of a struct, also behind lists, maps and null. */
function fieldsIn(schema: Schema): Fields | undefined {
  switch (schema.kind) {
    case "struct":
      return schema.fields;
    case "nullable":
      return fieldsIn(schema.target);
    case "list":
    case "tuple":
      return fieldsIn(schema.item);
    case "map":
      return fieldsIn(schema.value);
    default:
      return undefined;
  }
}

const holdsMany = (schema: Schema): boolean => schema.kind === "list" || schema.kind === "map" || (schema.kind === "nullable" && holdsMany(schema.target));
