/** The instructions that `docker import --change` and `docker commit --change` take, applied to an image's settings. */
import { posix } from "node:path";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { ImageHealthcheck, ImageSettings } from "../../lib/oci-image.ts";
import { parseSignal } from "../../lib/signals.ts";
import { parseDuration } from "../../lib/strconv.ts";
import { readPorts } from "./ports.ts";
import { readExecForm, readFlags, readInstruction, readInstructions } from "./lines.ts";
import { expand, readPairs, splitWords } from "./words.ts";

interface State {
  settings: ImageSettings;
  /** A CMD was among the changes: an ENTRYPOINT then leaves it. */
  cmdSet: boolean;
}

type Apply = (state: State, rest: string) => void;

const shell = ["/bin/sh", "-c"];

const instructions: Record<string, Apply> = {
  CMD: (state, rest) => {
    state.settings.Cmd = commandLine(state, rest);
    if (state.settings.Cmd.length > 0) state.cmdSet = true;
  },
  ENTRYPOINT: (state, rest) => {
    state.settings.Entrypoint = commandLine(state, rest);
    if (!state.cmdSet) delete state.settings.Cmd;
  },
  ENV: ({ settings }, rest) => {
    const lookup = environment(settings);
    for (const [rawName, rawValue] of readPairs(rest, "ENV")) {
      const name = expand(rawName, lookup);
      if (name === "") throw invalidParameter("ENV names can not be blank");
      settings.Env = replaced(settings.Env ?? [], name, `${name}=${expand(rawValue, lookup)}`);
    }
  },
  EXPOSE: ({ settings }, rest) => {
    if (rest === "") throw invalidParameter("EXPOSE requires at least one argument");
    const words = splitWords(rest).flatMap((word) => splitWords(expand(word, environment(settings))));
    settings.ExposedPorts = { ...settings.ExposedPorts, ...Object.fromEntries(words.flatMap(readPorts).map((port) => [port, {}])) };
  },
  HEALTHCHECK: ({ settings }, rest) => void (settings.Healthcheck = healthcheck(rest)),
  LABEL: ({ settings }, rest) => {
    const lookup = environment(settings);
    const labels = readPairs(rest, "LABEL").map(([name, value]) => {
      const label = expand(name, lookup);
      if (label === "") throw invalidParameter("LABEL names can not be blank");
      return [label, expand(value, lookup)] as const;
    });
    settings.Labels = Object.fromEntries([...Object.entries(settings.Labels ?? {}), ...labels]);
  },
  ONBUILD: ({ settings }, rest) => {
    if (rest === "") throw invalidParameter("ONBUILD requires at least one argument");
    const { name } = readInstruction(rest);
    if (name === "ONBUILD") throw invalidParameter("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (name === "MAINTAINER" || name === "FROM") throw invalidParameter(`${name} isn't allowed as an ONBUILD trigger`);
    settings.OnBuild = [...(settings.OnBuild ?? []), rest];
  },
  STOPSIGNAL: ({ settings }, rest) => {
    const signal = oneWord(settings, rest, "STOPSIGNAL");
    // Any number passes: which ones there are is the business of whoever runs it.
    if (!/^0*[1-9]\d*$/.test(signal)) parseSignal(signal);
    settings.StopSignal = signal;
  },
  USER: ({ settings }, rest) => void (settings.User = oneWord(settings, rest, "USER")),
  VOLUME: ({ settings }, rest) => {
    const paths = readExecForm(rest) ?? splitWords(rest);
    if (paths.length === 0) throw invalidParameter("VOLUME requires at least one argument");
    const expanded = paths.map((path) => expand(path, environment(settings)).trim());
    if (expanded.includes("")) throw invalidParameter("VOLUME specified can not be an empty string");
    settings.Volumes = { ...settings.Volumes, ...Object.fromEntries(expanded.map((path) => [path, {}])) };
  },
  WORKDIR: ({ settings }, rest) => {
    if (rest === "") throw invalidParameter("WORKDIR requires exactly one argument");
    const path = expand(rest, environment(settings));
    if (path === "") throw invalidParameter("cannot normalize nothing");
    settings.WorkingDir = posix.resolve("/", settings.WorkingDir ?? "/", path);
  },
};

/** A changed copy. Throws invalid-parameter with Docker's words. */
export function applyChanges(settings: ImageSettings, changes: readonly string[]): ImageSettings {
  const state: State = { settings: structuredClone(settings), cmdSet: false };
  if (changes.length === 0) return state.settings;
  const wanted = readInstructions(changes.join("\n"));
  for (const { name, written } of wanted) if (!Object.hasOwn(instructions, name)) throw invalidParameter(`${written} is not a valid change command`);
  for (const { name, rest } of wanted) {
    try {
      instructions[name]?.(state, rest);
    } catch (error) {
      throw invalidParameter(messageOf(error), error);
    }
  }
  return state.settings;
}

function commandLine({ settings }: State, rest: string): string[] {
  return readExecForm(rest) ?? [...(settings.Shell ?? shell), ...(rest === "" ? [] : [rest])];
}

function environment(settings: ImageSettings): (name: string) => string | undefined {
  const values = new Map((settings.Env ?? []).map((entry): [string, string] => [entry.split("=", 1)[0] ?? "", entry.slice(entry.indexOf("=") + 1)]));
  return (name) => values.get(name);
}

function replaced(env: readonly string[], name: string, entry: string): string[] {
  const at = env.findIndex((existing) => existing.split("=", 1)[0] === name);
  return at < 0 ? [...env, entry] : env.with(at, entry);
}

function oneWord(settings: ImageSettings, rest: string, instruction: string): string {
  const value = rest === "" ? "" : expand(rest, environment(settings));
  if (value === "") throw invalidParameter(`${instruction} requires exactly one argument`);
  return value;
}

const minimum = 1_000_000;

function healthcheck(text: string): ImageHealthcheck {
  const { flags, rest } = readFlags(text);
  const { name: kind, rest: command } = readInstruction(rest);
  if (rest === "") throw invalidParameter("HEALTHCHECK requires at least one argument");
  if (kind === "NONE") {
    if (command !== "") throw invalidParameter("HEALTHCHECK NONE takes no arguments");
    return { Test: ["NONE"] };
  }
  if (kind !== "CMD") throw invalidParameter(`Unknown type ${JSON.stringify(kind)} in HEALTHCHECK (try CMD)`);
  if (command === "") throw invalidParameter("Missing command after HEALTHCHECK CMD");
  const exec = readExecForm(command);
  const check: ImageHealthcheck = { Test: exec ? ["CMD", ...exec] : ["CMD-SHELL", command] };
  const durations = { interval: "Interval", timeout: "Timeout", "start-period": "StartPeriod", "start-interval": "StartInterval" } as const;
  for (const [flag, value] of flags) {
    if (flag === "retries") check.Retries = retries(value);
    else if (Object.hasOwn(durations, flag)) check[durations[flag as keyof typeof durations]] = duration(flag, value);
    else throw invalidParameter(`unknown flag: --${flag}`);
  }
  return check;
}

function duration(flag: string, value: string): number {
  const nanoseconds = value === "" ? 0 : parseDuration(value);
  if (nanoseconds !== 0 && nanoseconds < minimum) throw invalidParameter(`Interval ${JSON.stringify(flag)} cannot be less than 1ms`);
  return nanoseconds;
}

function retries(value: string): number {
  if (value === "") return 0;
  if (!/^[+-]?\d+$/.test(value)) throw invalidParameter(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  const count = Number(value);
  if (count < 0) throw invalidParameter(`--retries cannot be negative (${count})`);
  return count;
}
