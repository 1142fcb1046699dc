/** Pieces of text that several lists show. */
import { humanDuration } from "../../lib/units.ts";

/** The first twelve characters of an id, without its algorithm. */
export function shortId(id: string): string {
  const bare = id.includes(":") ? id.slice(id.indexOf(":") + 1) : id;
  return bare.slice(0, 12);
}

/** At most `length` characters, the last of them … when something is cut. */
export function ellipsis(text: string, length: number): string {
  const runes = [...text];
  if (length <= 0) return "";
  if (runes.length <= length) return text;
  return length === 1 ? (runes[0] ?? "") : `${runes.slice(0, length - 1).join("")}…`;
}

export const ago = (seconds: number): string => `${humanDuration(Date.now() - seconds * 1000)} ago`;

/** A point in time as Go's Time.String() prints it: 2026-11-21 09:29:23 +0000 UTC. */
export function goTime(date: Date, zone: "local" | "utc" = "local", fraction = ""): string {
  const pad = (value: number): string => String(value).padStart(2, "0");
  if (zone === "utc") return `${date.toISOString().slice(0, 19).replace("T", " ")}${fraction} +0000 UTC`;
  const offset = -date.getTimezoneOffset();
  const name = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(date).find((part) => part.type === "timeZoneName")?.value ?? "UTC";
  const clock = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const size = Math.abs(offset);
  return `${clock}${fraction} ${offset < 0 ? "-" : "+"}${pad(Math.trunc(size / 60))}${pad(size % 60)} ${name}`;
}

/** "a=b,c=d", sorted. */
export const labelText = (labels: Record<string, string> | null | undefined): string =>
  Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`).sort().join(",");
