/** Authorization plugins, asked one after the other: the first that does not allow something, or fails, ends it. */
import type { Plugin, PluginAnswer, Plugins } from "../../core/plugins.ts";
import { forbidden, messageOf, systemError } from "../../lib/errors.ts";
import type { Authorization, AuthorizationMessage } from "./exchange.ts";

const METHODS = { request: "AuthZPlugin.AuthZReq", response: "AuthZPlugin.AuthZRes" } as const;

export class AuthorizationChain implements Authorization {
  readonly #plugins: Plugins;
  #names: readonly string[];

  constructor(plugins: Plugins, names: readonly string[] = []) {
    this.#plugins = plugins;
    this.#names = names;
  }

  get isEmpty(): boolean {
    return this.#names.length === 0;
  }

  /** Throws for a plugin that is not there, or is for something else. */
  async check(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#find(name);
  }

  use(names: readonly string[]): void {
    this.#names = names;
  }

  async ask(about: keyof typeof METHODS, message: AuthorizationMessage): Promise<void> {
    for (const name of this.#names) {
      let answer: PluginAnswer;
      try {
        answer = await (await this.#find(name)).call(METHODS[about], message);
      } catch (cause) {
        throw systemError(`plugin ${name} failed with error: ${messageOf(cause)}`, cause);
      }
      if (answer["Allow"] !== true) throw forbidden(`authorization denied by plugin ${name}: ${typeof answer["Msg"] === "string" ? answer["Msg"] : ""}`);
    }
  }

  #find(name: string): Promise<Plugin> {
    return this.#plugins.find(name, "authz");
  }
}
