/** The engine, the model beside it, and what both say about each other. */
import type { IncomingMessage } from "node:http";
import type { Reply } from "../../harness/api.ts";
import type { Engine } from "../../harness/engine.ts";
import { type Action, Container, type Outcome, type State, type Traits } from "./model.ts";

export interface Program extends Traits {
  name: string;
  body: object;
}

const always = { RestartPolicy: { Name: "always" } };
const published = { ExposedPorts: { "80/tcp": {} }, HostConfig: { PortBindings: { "80/tcp": [{}] } } };
const plain = { short: false, always: false, autoRemove: false };
const sh = (script: string): object => ({ Image: "busybox", Cmd: ["sh", "-c", script] });
const talker = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";

export const programs: readonly Program[] = [
  { ...plain, name: "sleeper", body: { ...sh("exec sleep 1000"), ...published } },
  { ...plain, name: "reader", body: { Image: "busybox", Cmd: ["cat"], OpenStdin: true } },
  { ...plain, name: "terminal", body: { Image: "busybox", Cmd: ["cat"], OpenStdin: true, Tty: true } },
  { ...plain, name: "talker", body: sh(talker) },
  { ...plain, name: "parent", body: { ...sh("sleep 1000 & sleep 1000 & wait"), HostConfig: { Init: true } } },
  { ...plain, name: "short", short: true, body: { ...sh("sleep 0.3; exit 3"), ...published } },
  { ...plain, name: "removed", short: true, autoRemove: true, body: { ...sh("sleep 0.4; exit 3"), HostConfig: { AutoRemove: true } } },
  { ...plain, name: "always", always: true, body: { ...sh("exec sleep 1000"), HostConfig: always } },
  { ...plain, name: "looping", short: true, always: true, body: { ...sh("sleep 0.2; exit 3"), HostConfig: always } },
];

/** A container of the model. Its name changes, its id is known once a create was answered. */
export interface Subject {
  ref: string;
  id: string | undefined;
  program: Program;
  model: Container;
  shimKilled: boolean;
}

const failures = /ECONNRESET|ECONNREFUSED|ENOENT|EPIPE|socket hang up|aborted/;
/** After a kill of a shim or launcher, errors are excused for so long. */
const excusedMs = 5000;

export class World {
  readonly engine: Engine;
  readonly subjects: Subject[] = [];
  readonly disagreements: string[] = [];
  readonly counts = new Map<string, number>();
  readonly trail: string[] = [];
  readonly waits = new Set<{ what: string; over: Promise<void> }>();
  events: IncomingMessage | undefined;
  /** Resolved while a daemon answers. */
  up: Promise<void> = Promise.resolve();
  /** Of each prune that is under way, whom it may take. */
  readonly #prunes = new Set<{ model: Container; call: object }[]>();
  #daemonKilled = -Infinity;
  #otherKilled = -Infinity;
  readonly #began = performance.now();

  constructor(engine: Engine) {
    this.engine = engine;
  }

  note(text: string): void {
    this.trail.push(`${((performance.now() - this.#began) / 1000).toFixed(3)} ${text}`);
  }

  disagree(text: string): void {
    this.note(`DISAGREEMENT ${text}`);
    this.disagreements.push(text);
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  daemonKilled(): void {
    this.#daemonKilled = performance.now();
    this.note("kill gantryd");
  }

  otherKilled(what: string): void {
    this.#otherKilled = performance.now();
    this.note(`kill ${what}`);
  }

  add(name: string, program: Program): Subject {
    const subject: Subject = { ref: name, id: undefined, program, model: new Container(program), shimKilled: false };
    this.subjects.push(subject);
    for (const calls of this.#prunes) calls.push({ model: subject.model, call: subject.model.begin("prune") });
    return subject;
  }

  /** One call that the model follows. */
  async act(subject: Subject, action: Action, method: string, path: string, json?: object): Promise<Reply | undefined> {
    await this.up;
    const call = subject.model.begin(action);
    const { outcome, reply } = await this.send(method, path, json, `${action} ${subject.program.name} ${subject.ref}`);
    const seen = action === "look" && outcome === "done" ? (JSON.parse(String(reply?.body)).State.Status as State) : undefined;
    const problem = action === "look" && outcome !== "done" && outcome !== "absent" ? void subject.model.end(call, "look", "lost") : subject.model.end(call, action, outcome, seen);
    if (problem !== undefined) this.disagree(`${action} of ${subject.program.name} ${subject.ref}: ${seen ?? outcome} (${reply?.status} ${String(reply?.body).slice(0, 300).trim()}), ${problem}`);
    return reply;
  }

  /** All that do not run go, whoever's they are. */
  async prune(): Promise<void> {
    await this.up;
    const calls = this.subjects.map(({ model }) => ({ model, call: model.begin("prune") }));
    this.#prunes.add(calls);
    const { outcome } = await this.send("POST", "/containers/prune", undefined, "prune containers");
    this.#prunes.delete(calls);
    for (const { model, call } of calls) model.end(call, "prune", outcome === "refused" ? "lost" : outcome);
  }

  /** One call; what it means is for the caller, unless nothing can excuse it. */
  async send(method: string, path: string, body: object | Buffer | undefined, what: string): Promise<{ outcome: Outcome; reply: Reply | undefined }> {
    const began = performance.now();
    try {
      const reply = await this.engine.api.send(method, path, { ...(body === undefined ? {} : Buffer.isBuffer(body) ? { body, headers: { "content-type": "application/x-tar" } } : { json: body }), timeoutMs: 40_000 });
      const outcome = outcomeOf(reply);
      this.note(`${what}: ${outcome} ${reply.status} ${Math.round(performance.now() - began)} ms`);
      this.count(`${what.split(" ")[0]} ${outcome}`);
      if (outcome === "failed") this.#judgeFailure(what, reply, began);
      return { outcome, reply };
    } catch (error) {
      const text = String(error);
      this.note(`${what}: ${text}`);
      this.count(`${what.split(" ")[0]} lost`);
      if (!failures.test(text) || this.#daemonKilled < began - 500) this.disagree(`${what}: ${text}`);
      return { outcome: "lost", reply: undefined };
    }
  }

  #judgeFailure(what: string, reply: Reply, began: number): void {
    const text = String(reply.body).trim();
    if (this.#otherKilled < began - excusedMs && this.#daemonKilled < began - excusedMs) this.disagree(`${what}: ${reply.status} ${text}`);
    else this.note(`  excused: ${text}`);
  }
}

function outcomeOf({ status, body }: Reply): Outcome {
  if (status === 304) return "unchanged";
  if (status < 300) return "done";
  if (status === 404) return "absent";
  // Docker answers some refusals with 500.
  return status === 409 || /is not paused|is not running|is marked for removal|is already in progress|is not connected to|already exists in network|is in use|is restarting/.test(String(body)) ? "refused" : "failed";
}
