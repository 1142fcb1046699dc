/** Messages of syslog in the forms that Docker's option syslog-format names. Times are the record's own. */
import type { LogRecord } from "../../core/log-driver.ts";

/** Docker's names of RFC 5424's facilities, by their numbers. */
const FACILITIES = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp".split(" ");
const DAEMON = 3;
const LOCAL0 = 16;
const ERROR = 3;
const INFO = 6;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** A name or a number. Throws Docker's words. */
export function facilityOf(text: string): number {
  if (text === "") return DAEMON;
  const local = /^local([0-7])$/.exec(text);
  const number = local ? LOCAL0 + Number(local[1]) : /^\+?\d+$/.test(text) ? Number(text) : FACILITIES.indexOf(text);
  if (number < 0 || number > 23) throw new Error("invalid syslog facility");
  return number;
}

export interface Header {
  format: "" | "rfc3164" | "rfc5424" | "rfc5424micro";
  facility: number;
  hostName: string;
  tag: string;
  pid: number;
}

/** Without an end of line. */
export function formatMessage({ format, facility, hostName, tag, pid }: Header, { text, stderr, time }: LogRecord): string {
  const priority = facility * 8 + (stderr ? ERROR : INFO);
  const date = new Date(time);
  if (format === "") return `<${priority}>${stamp(date)} ${tag}[${pid}]: ${text}`;
  if (format === "rfc3164") return `<${priority}>${stamp(date)} ${hostName} ${tag}[${pid}]: ${text}`;
  const micros = format === "rfc5424micro" ? `.${fraction(time).padEnd(6, "0").slice(0, 6)}` : "";
  return `<${priority}>1 ${localTime(date, micros)} ${hostName} ${tag} ${pid} ${tag} - ${text}`;
}

const two = (value: number): string => String(value).padStart(2, "0");
const clock = (date: Date): string => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
const stamp = (date: Date): string => `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2, " ")} ${clock(date)}`;
const fraction = (time: string): string => /\.(\d+)Z$/.exec(time)?.[1] ?? "";

function localTime(date: Date, micros: string): string {
  const minutes = -date.getTimezoneOffset();
  const zone = minutes === 0 ? "Z" : `${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${clock(date)}${micros}${zone}`;
}
