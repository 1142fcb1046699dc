import { messageOf } from "../../../lib/errors.ts";
import { ApiError } from "../../api/client.ts";
import { typedValue } from "../../inspect/typed.ts";
import { INDEX_SERVER, credentialsFor } from "../../registry/auth.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";
import { compile, execute } from "../../../lib/template/execute.ts";
import type { Template } from "../../../lib/template/parse.ts";
import { TemplateObject } from "../../../lib/template/values.ts";
import { serverInfoText } from "../../format/info.ts";
import type { ServerInfo } from "../../format/info.ts";

export const onlyAsks = true;

export async function run(session: Session): Promise<void> {
  const format = session.flags.string("format");
  const template = format === "" ? undefined : parse(format === "json" ? "{{json .}}" : format);
  const client = clientInfo(session);
  if (template && worksWith(template, infoObject(client, undefined))) {
    session.out.line(execute(template, infoObject(client, undefined)));
    return;
  }
  let info: ServerInfo | undefined;
  let failure: unknown;
  try {
    info = await session.client.json<ServerInfo>("GET", "/info");
  } catch (thrown) {
    failure = thrown;
  }
  if (!template) return showText(session, { info, failure });
  let text = "";
  try {
    text = execute(template, infoObject(client, info ?? ({} as ServerInfo)));
  } catch (thrown) {
    failure ??= thrown;
  }
  session.out.line(text);
  if (failure !== undefined) throw failure;
}

function parse(format: string): Template {
  try {
    return compile(format);
  } catch (thrown) {
    throw new StatusError(64, `template parsing error: ${messageOf(thrown)}`);
  }
}

/** A template about the client alone needs no daemon. */
function worksWith(template: Template, data: TemplateObject): boolean {
  if (!/\.[a-zA-Z]/.test(template.source)) return false;
  try {
    execute(template, data);
    return true;
  } catch {
    return false;
  }
}

function clientInfo(session: Session): Record<string, unknown> {
  return { Debug: session.debug, Version: session.wiring.version, GitCommit: session.wiring.commit, Os: "linux", Arch: process.arch === "x64" ? "amd64" : process.arch, Context: session.contextName, Plugins: [], Warnings: [] };
}

/** The daemon's fields beside the client's, under the names that Go gives them. */
class InfoObject extends TemplateObject {
  override resolve(name: string): string | undefined {
    const lower = name.toLowerCase();
    return super.resolve(name) ?? Object.keys(this.members).find((key) => key.toLowerCase() === lower);
  }
}

function infoObject(client: Record<string, unknown>, info: ServerInfo | undefined): TemplateObject {
  const typed = info ? (typedValue(info) as TemplateObject).members : {};
  return new InfoObject("system.dockerInfo", { ...typed, ...(info ? { ServerErrors: [] } : {}), ClientInfo: new TemplateObject("*system.clientInfo", client), ClientErrors: [] });
}

function showText(session: Session, result: { info: ServerInfo | undefined; failure: unknown }): void {
  const { out, err } = session;
  const { info, failure } = result;
  const user = credentialsFor({ auths: session.config.data.auths ?? {} }, INDEX_SERVER).username ?? "";
  out.line(`Client: Gantry\n Version:    ${session.wiring.version}\n Context:    ${session.contextName}\n Debug Mode: ${session.debug}\n\nServer:`);
  if (info) {
    out.line(serverInfoText(info, { debug: session.debug, user }));
    for (const warning of info.Warnings ?? []) err.line(warning);
    return;
  }
  if (failure instanceof ApiError && failure.status !== 0) {
    err.line(`ERROR: ${failure.message}`);
    throw new Error("errors pretty printing info");
  }
  throw failure;
}

