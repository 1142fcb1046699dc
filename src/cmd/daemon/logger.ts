/** The daemon's log: lines on stderr in the form that dockerd's have (logrus), or JSON. */
import type { LogFields, Logger } from "../../core/logger.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "panic";
const RANK: Record<LogLevel, number> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4, fatal: 5, panic: 5 };

export interface LogSettings {
  level: LogLevel;
  format: "text" | "json";
}

export const isLogLevel = (text: string): text is LogLevel => Object.hasOwn(RANK, text);

export class DaemonLogger implements Logger {
  #settings: LogSettings;
  readonly #write: (line: string) => void;

  constructor(settings: LogSettings, write: (line: string) => void = (line) => void process.stderr.write(line)) {
    this.#settings = settings;
    this.#write = write;
  }

  configure(settings: LogSettings): void {
    this.#settings = settings;
  }

  debug(message: string, fields?: LogFields): void {
    this.#log("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#log("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#log("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#log("error", message, fields);
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (RANK[level] < RANK[this.#settings.level]) return;
    this.#write(this.#settings.format === "json" ? jsonLine(level, message, fields) : textLine(level, message, fields));
  }
}

/** RFC 3339 with nanoseconds, as all lines have it. */
const timestamp = (): string => `${new Date().toISOString().slice(0, -1)}000000Z`;

function textLine(level: string, message: string, fields: LogFields): string {
  let line = `time="${timestamp()}" level=${level === "warn" ? "warning" : level} msg=${quoted(message, true)}`;
  for (const [key, value] of Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (value !== undefined) line += ` ${key}=${quoted(String(value), false)}`;
  }
  return `${line}\n`;
}

function quoted(text: string, always: boolean): string {
  return always || !/^[A-Za-z0-9\-._/@^+]+$/.test(text) ? JSON.stringify(text) : text;
}

function jsonLine(level: string, message: string, fields: LogFields): string {
  return `${JSON.stringify({ ...fields, level: level === "warn" ? "warning" : level, msg: message, time: timestamp() })}\n`;
}
