/**
 * Plugins: programs of others that the daemon asks over a socket, by the protocol of Docker's legacy plugins. A plugin has a name,
 * and says when it is activated what it implements.
 *
 * An answer is JSON of an unknown shape: whoever asks checks what it uses of it.
 */
export type PluginKind = "NetworkDriver" | "IpamDriver" | "VolumeDriver" | "authz";

export interface Plugin {
  readonly name: string;
  /** Asks, as call("NetworkDriver.Join", {...}). Throws "system" with what the plugin said, or why it could not be asked. */
  call(method: string, request?: object): Promise<PluginAnswer>;
}

export type PluginAnswer = Readonly<Record<string, unknown>>;

export interface Plugins {
  /** Activates it on first use. Throws Docker's not-found, also for one that implements something else. */
  find(name: string, kind: PluginKind): Promise<Plugin>;
  /** Those that implement it and were used since the daemon's start, sorted. */
  active(kind: PluginKind): string[];
}

/** The innermost `cause` of the error for a method that the plugin does not have. */
export class MethodMissing {}

export const isMethodMissing = (error: unknown): boolean => error instanceof Error && error.cause instanceof MethodMissing;

/** Text of an answer; undefined when it is absent or empty. Throws a plain error for anything else. */
export function textOf(answer: PluginAnswer, key: string): string | undefined {
  const value = answer[key];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw new Error(`${key} of the plugin's answer is no text`);
  return value;
}

/** An object in an answer; empty when it is absent. Throws a plain error for anything else. */
export function partOf(answer: PluginAnswer, key: string): PluginAnswer {
  const value = answer[key];
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw new Error(`${key} of the plugin's answer is no object`);
  return value as PluginAnswer;
}
