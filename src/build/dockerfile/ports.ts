/** EXPOSE's arguments: "80", "80/udp", "8000-8010/tcp", also with the host parts that old files have. */
import { invalidParameter } from "../../lib/errors.ts";

/** "80/tcp" for each port. Throws Docker's words. */
export function readPorts(word: string): string[] {
  const container = word.split(":").at(-1) ?? "";
  const slash = container.indexOf("/");
  const range = slash < 0 ? container : container.slice(0, slash);
  const protocol = (slash < 0 ? "tcp" : container.slice(slash + 1) || "tcp").toLowerCase();
  if (range === "") throw invalidParameter(`no port specified: ${word}<empty>`);
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") throw invalidParameter(`invalid proto: ${protocol}`);
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range);
  const first = Number(match?.[1] ?? Number.NaN);
  const last = Number(match?.[2] ?? first);
  if (!match || first > 65535 || last > 65535 || last < first) throw invalidParameter(`invalid containerPort: ${range}`);
  return Array.from({ length: last - first + 1 }, (_, at) => `${first + at}/${protocol}`);
}
