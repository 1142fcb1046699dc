import { messageOf } from "../../../lib/errors.ts";
import { parseBool } from "../../../lib/strconv.ts";
import { MAX_API_VERSION } from "../../api/client.ts";
import { alignTabs } from "../../format/tabwriter.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";
import { compile, execute } from "../../../lib/template/execute.ts";
import { Nil, TemplateObject } from "../../../lib/template/values.ts";

const TEMPLATE = `{{with .Client -}}
Client:{{if ne .Platform nil}}{{if ne .Platform.Name ""}} {{.Platform.Name}}{{end}}{{end}}
 Version:	{{.Version}}
 API version:	{{.APIVersion}}{{if ne .APIVersion .DefaultAPIVersion}} (downgraded from {{.DefaultAPIVersion}}){{end}}
 Node version:	{{.NodeVersion}}
 Git commit:	{{.GitCommit}}
 OS/Arch:	{{.Os}}/{{.Arch}}
 Context:	{{.Context}}
{{- end}}

{{- if ne .Server nil}}{{with .Server}}

Server:{{if ne .Platform.Name ""}} {{.Platform.Name}}{{end}}
{{- range $component := .Components}}
 {{$component.Name}}:
  Version:	{{$component.Version}}
{{- range $line := $component.Lines}}
  {{$line}}
{{- end}}
{{- end}}
{{- end}}{{- end}}`;

interface Component {
  Name: string;
  Version: string;
  Details?: Record<string, string> | null;
}

interface ServerVersion {
  Platform?: { Name: string };
  Version: string;
  ApiVersion: string;
  MinAPIVersion?: string;
  Os: string;
  Arch: string;
  GitCommit?: string;
  GoVersion?: string;
  KernelVersion?: string;
  Experimental?: boolean;
  BuildTime?: string;
  Components?: Component[];
}

export const onlyAsks = true;

export async function run(session: Session): Promise<void> {
  const format = session.flags.string("format");
  const source = format === "" ? TEMPLATE : format === "json" ? "{{json .}}" : format;
  let template: ReturnType<typeof compile>;
  try {
    template = compile(source, "version");
  } catch (thrown) {
    throw new StatusError(64, `template parsing error: ${messageOf(thrown)}`);
  }
  let server: ServerVersion | undefined;
  let failure: unknown;
  try {
    server = await session.client.json<ServerVersion>("GET", "/version");
  } catch (thrown) {
    failure = thrown;
  }
  const info = new TemplateObject("system.versionInfo", { Client: await clientVersion(session, server !== undefined), Server: server ? serverVersion(server) : new Nil("pointer", "*system.serverVersion") });
  let text = "";
  try {
    text = execute(template, info);
  } catch (thrown) {
    failure ??= thrown;
  }
  session.out.write(alignTabs(`${text}\n`, { minWidth: 20, padding: 1 }));
  if (failure !== undefined) throw failure;
}

async function clientVersion(session: Session, reached: boolean): Promise<TemplateObject> {
  return object("system.clientVersion", {
    Platform: new TemplateObject("*system.platformInfo", { Name: "Gantry" }),
    Version: session.wiring.version,
    APIVersion: ["ApiVersion", reached ? await session.client.version() : MAX_API_VERSION],
    DefaultAPIVersion: MAX_API_VERSION,
    GitCommit: session.wiring.commit,
    NodeVersion: process.version.slice(1),
    GoVersion: "",
    Os: "linux",
    Arch: process.arch === "x64" ? "amd64" : process.arch,
    BuildTime: "",
    Context: session.contextName,
  });
}

function serverVersion(server: ServerVersion): TemplateObject {
  const components = [...(server.Components ?? [])];
  const engine = components.find((component) => component.Name === "Engine");
  if (!engine) components.push({ Name: "Engine", Version: server.Version, Details: { ApiVersion: server.ApiVersion, MinAPIVersion: server.MinAPIVersion ?? "", Os: server.Os, Arch: server.Arch } });
  const details = engine?.Details ?? {};
  if (details["BuildTime"]) details["BuildTime"] = ansiDate(details["BuildTime"]);
  return object("system.serverVersion", {
    Platform: new TemplateObject("client.PlatformInfo", { Name: server.Platform?.Name ?? "" }),
    Version: server.Version,
    APIVersion: ["ApiVersion", server.ApiVersion],
    MinAPIVersion: server.MinAPIVersion ?? "",
    Os: server.Os,
    Arch: server.Arch,
    Components: components.map((component) => {
      const members = { Name: component.Name, Version: component.Version, Details: component.Details ?? {} };
      return new JsonNames("system.ComponentVersion", { ...members, Lines: detailLines(component) }, members);
    }),
    GitCommit: details["GitCommit"] ?? "",
    GoVersion: details["GoVersion"] ?? "",
    KernelVersion: details["KernelVersion"] ?? "",
    Experimental: isTrue(details["Experimental"]),
    BuildTime: details["BuildTime"] ?? "",
  });
}

const isTrue = (text: string | undefined): boolean => text !== undefined && text !== "" && parseBool(text);

/** An object whose JSON has other names than its template fields, and leaves empty ones out. */
class JsonNames extends TemplateObject {
  readonly #json: Record<string, unknown>;
  constructor(typeName: string, members: Record<string, unknown>, json: Record<string, unknown>) {
    super(typeName, members);
    this.#json = json;
  }
  override toJSON(): unknown {
    return this.#json;
  }
}

/** A member given as [name, value] has that name in JSON. */
function object(typeName: string, given: Record<string, unknown>): TemplateObject {
  const members: Record<string, unknown> = {};
  const json: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    const [jsonName, plain] = Array.isArray(value) && name === "APIVersion" ? (value as [string, unknown]) : [name, value];
    members[name] = plain;
    if (plain !== "" && plain !== false) json[jsonName] = plain;
  }
  return new JsonNames(typeName, members, json);
}

const ENGINE_LINES: [string, string][] = [["Go version", "GoVersion"], ["Git commit", "GitCommit"], ["Built", "BuildTime"]];

function detailLines(component: Component): string[] {
  const details = component.Details ?? {};
  if (component.Name !== "Engine") return Object.keys(details).sort().map((name) => `${name}:\t${details[name]}`);
  return [
    `API version:\t${details["ApiVersion"] ?? ""} (minimum version ${details["MinAPIVersion"] ?? ""})`,
    ...ENGINE_LINES.map(([shown, name]) => `${shown}:\t${details[name] ?? ""}`),
    `OS/Arch:\t${details["Os"] ?? ""}/${details["Arch"] ?? ""}`,
    `Experimental:\t${details["Experimental"] ?? ""}`,
  ];
}

/** "Sat Nov 21 09:29:23 2026", or the text as it is when it is no RFC 3339 time. */
function ansiDate(text: string): string {
  if (!/^\d{4}-\d{2}-\d{2}T/.test(text)) return text;
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  const [weekday = "", day = "", month = "", year = "", time = ""] = date.toUTCString().replace(",", "").split(" ");
  return `${weekday} ${month} ${day.replace(/^0/, " ")} ${time} ${year}`;
}
