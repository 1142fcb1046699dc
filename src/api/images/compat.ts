/** Rows and inspections as each API version has them. */
import type { ImageInspect } from "../../engine/images/inspect.ts";
import type { ImageRow } from "../../engine/images/list.ts";
import { NEVER } from "../../lib/rfc3339.ts";
import { type ApiVersion, atLeast } from "../route.ts";

export function listAnswer(row: ImageRow, version: ApiVersion): object {
  const { Descriptor: _, ...older } = row;
  const answer: Record<string, unknown> = { ...(atLeast(version, 48) ? row : older) };
  if (!atLeast(version, 51)) answer["Containers"] = -1;
  if (!atLeast(version, 43) && row.RepoTags.length === 0 && row.RepoDigests.length === 0) {
    answer["RepoTags"] = ["<none>:<none>"];
    answer["RepoDigests"] = ["<none>@<none>"];
  }
  if (!atLeast(version, 44)) answer["VirtualSize"] = row.Size;
  return answer;
}

const configBefore52 = { Cmd: null, Entrypoint: null, Env: null, Labels: null, OnBuild: null, User: "", Volumes: null, WorkingDir: "" };
const configBefore50 = { AttachStderr: false, AttachStdin: false, AttachStdout: false, Domainname: "", Hostname: "", Image: "", OpenStdin: false, StdinOnce: false, Tty: false };

/** Fields that later versions leave out when empty. */
export function inspectAnswer(image: ImageInspect, version: ApiVersion, driver: string): object {
  if (atLeast(version, 52)) return image;
  const { Descriptor: _, ...older } = image;
  const answer: Record<string, unknown> = {
    Parent: "",
    Comment: "",
    DockerVersion: "",
    Author: "",
    GraphDriver: { Data: null, Name: driver },
    ...(atLeast(version, 48) ? image : older),
    Config: { ...configBefore52, ...(atLeast(version, 50) ? {} : configBefore50), ...image.Config },
  };
  if (!atLeast(version, 45)) Object.assign(answer, { Container: "", ContainerConfig: null });
  if (!atLeast(version, 44)) Object.assign(answer, { VirtualSize: image.Size, Created: image.Created ?? NEVER });
  return answer;
}
