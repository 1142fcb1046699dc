import { messageOf } from "../../../lib/errors.ts";
import { encodeFilters, filterQuery } from "../../flag-types.ts";
import { CONTAINER_KIND, containerFormat, containerRow } from "../../format/container.ts";
import type { ContainerSummary } from "../../format/container.ts";
import { formatRows, templateSource } from "../../format/rows.ts";
import type { Session } from "../../session.ts";
import { compile, execute } from "../../../lib/template/execute.ts";

const SAMPLE: ContainerSummary = { Id: "", Names: [], Image: "", ImageID: "", Command: "", Created: 0, Ports: [], Labels: {}, State: "", Status: "" };

export const onlyAsks = true;

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const quiet = flags.bool("quiet");
  let format = flags.string("format");
  const showSize = flags.bool("size") || usesSize(format);
  if (format === "") format = !quiet && session.config.data.psFormat ? session.config.data.psFormat : "table";
  const last = flags.bool("latest") && !flags.changed("last") ? 1 : flags.int("last");
  const containers = await session.client.json<ContainerSummary[]>("GET", "/containers/json", {
    query: {
      all: flags.bool("all") || undefined,
      size: showSize || undefined,
      limit: last > 0 ? last : undefined,
      filters: encodeFilters(filterQuery(flags.list("filter"))),
    },
  });
  const truncate = !flags.bool("no-trunc");
  session.out.write(formatRows(containerFormat(format, { quiet, size: flags.bool("size") }), CONTAINER_KIND, containers.map((container) => containerRow(container, truncate))));
}

/** Sizes cost the daemon a walk through the files: they are asked for only if the template shows them. It is tried on a sample, which also finds its mistakes. */
function usesSize(format: string): boolean {
  if (["", "table", "raw", "json"].includes(format)) return false;
  let used = false;
  let template: ReturnType<typeof compile>;
  try {
    template = compile(templateSource(format));
  } catch (thrown) {
    throw new Error(`failed to parse template: ${messageOf(thrown)}`);
  }
  const sample = containerRow(SAMPLE, true);
  sample.members["Size"] = () => {
    used = true;
    return "0B";
  };
  try {
    execute(template, sample);
  } catch (thrown) {
    throw new Error(`failed to execute template: ${messageOf(thrown)}`);
  }
  return used;
}
