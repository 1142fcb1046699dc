import { naturalOrder } from "../../../lib/natural-order.ts";
import { defaultContext } from "../../config/context-text.ts";
import { DEFAULT_DESCRIPTION } from "../../config/contexts.ts";
import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import type { Session } from "../../session.ts";

const KIND: RowKind = { typeName: "*formatter.clientContextContext", headers: { Name: "NAME", Description: "DESCRIPTION", DockerEndpoint: "DOCKER ENDPOINT", Error: "ERROR" } };
const TABLE = "table {{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}";
const ERROR_WIDTH = 45;

interface Entry {
  name: string;
  description: string;
  host: string;
  error: string;
}

export function run(session: Session): void {
  const { flags } = session;
  const current = session.contextName;
  const metas = [defaultContext(session), ...session.contexts.list()];
  const entries: Entry[] = metas.map((meta) => {
    const host = meta.Endpoints["docker"]?.Host;
    return { name: meta.Name, description: describe(meta), host: host ?? "", error: host === undefined ? "docker endpoint configuration missing" : "" };
  });
  if (!entries.some(({ name }) => name === current)) entries.push({ name: current, description: "", host: "", error: errorOf(session, current) });
  entries.sort((one, two) => naturalOrder(one.name, two.name));
  const given = flags.string("format");
  const format = flags.bool("quiet") ? "{{.Name}}" : given === "" || given === "table" ? TABLE : given;
  const rows = entries.map((entry) =>
    row(KIND, {
      Name: () => entry.name,
      Current: () => entry.name === current,
      Description: () => entry.description,
      DockerEndpoint: () => entry.host,
      Error: () => (entry.error.length > ERROR_WIDTH && format === TABLE ? `${entry.error.slice(0, ERROR_WIDTH - 1)}…` : entry.error),
    }),
  );
  session.out.write(formatRows(format, KIND, rows));
  if (process.env["DOCKER_HOST"]) session.err.line("Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.");
}

function describe(meta: { Name: string; Metadata: { Description?: string } }): string {
  if (meta.Name !== "default") return meta.Metadata.Description ?? "";
  return DEFAULT_DESCRIPTION;
}

function errorOf(session: Session, name: string): string {
  try {
    session.contexts.get(name);
    return "";
  } catch (thrown) {
    return (thrown as Error).message;
  }
}
