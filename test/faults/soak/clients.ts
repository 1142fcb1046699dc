/** Clients that do what their random numbers say, one call after the other, and waits and streams beside them. */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Socket } from "node:net";
import { demultiplex } from "../../harness/api.ts";
import { Changes } from "./changes.ts";
import { Random } from "./random.ts";
import { programs, type Subject, type World } from "./world.ts";

const mostPerClient = 4;

export class Client {
  readonly #world: World;
  readonly #random: Random;
  readonly #name: string;
  readonly #own: Subject[] = [];
  /** Of what is ours alone. */
  readonly changes: Changes;
  #made = 0;

  constructor(world: World, seed: number, name: string) {
    this.#world = world;
    this.#random = new Random(seed);
    this.#name = name;
    this.changes = new Changes(world, this.#random, name);
  }

  async work(until: () => boolean): Promise<void> {
    while (!until()) {
      await this.#step();
      await delay(this.#random.below(20));
    }
  }

  async #step(): Promise<void> {
    const what = this.#random.below(100);
    const foreign = this.#random.chance(25);
    const choice = this.#random.below(1 << 16);
    const open = this.#own.filter((subject) => !gone(subject));
    if (open.length === 0 || (what < 14 && open.length < mostPerClient)) return this.#create();
    const candidates = foreign ? this.#world.subjects.filter((subject) => !gone(subject)) : open;
    const subject = candidates[choice % candidates.length];
    if (subject === undefined) return;
    const at = `/containers/${subject.ref}`;
    if (what < 26) return void (await this.#world.act(subject, "start", "POST", `${at}/start`));
    if (what < 31) return void (await this.#world.act(subject, "stop", "POST", `${at}/stop?t=${choice % 2}`));
    if (what < 34) return void (await this.#world.act(subject, "kill", "POST", `${at}/kill`));
    if (what < 38) return void (await this.#world.act(subject, "restart", "POST", `${at}/restart?t=0`));
    if (what < 42) return void (await this.#world.act(subject, "pause", "POST", `${at}/pause`));
    if (what < 47) return void (await this.#world.act(subject, "unpause", "POST", `${at}/unpause`));
    if (what < 49) return void (await this.#world.act(subject, "remove", "DELETE", at));
    if (what < 51) return void (await this.#world.act(subject, "force-remove", "DELETE", `${at}?force=1`));
    if (what < 58) return this.#look(subject, foreign);
    if (what < 65) return this.#exec(subject, choice);
    if (what < 69) return this.#logs(subject);
    if (what < 73) return this.#attach(subject, choice);
    if (what < 86) return foreign || subject.id === undefined ? undefined : this.changes.step(subject as Subject & { id: string });
    if (what < 92) return this.changes.thing();
    if (what < 94) return this.#list();
    if (what < 97) return this.#watch(at, choice);
    if (what < 98) return choice % 4 === 0 ? this.#world.prune() : undefined;
    this.#wait(subject, choice % 3 === 0 ? "removed" : choice % 3 === 1 ? "next-exit" : "not-running");
  }

  /** Others may be changing a container that is not ours. */
  async #look(subject: Subject, foreign: boolean): Promise<void> {
    const reply = await this.#world.act(subject, "look", "GET", `/containers/${subject.ref}/json`);
    if (reply && !foreign) this.changes.check(subject, reply);
  }

  /** Calls that change nothing. */
  async #watch(at: string, choice: number): Promise<void> {
    const paths = [`${at}/stats?stream=false&one-shot=1`, `${at}/top`, `${at}/changes`, "/system/df", "/info", "/images/json", "/networks", "/volumes"];
    await this.#world.up;
    const path = paths[choice % paths.length] as string;
    await this.#world.send("GET", path, undefined, `watch ${path}`);
  }

  /** At the end, when nobody else acts. */
  async lookAtAll(): Promise<void> {
    for (const subject of this.#own) await this.#look(subject, false);
    await this.changes.lookAtAll();
  }

  async #create(): Promise<void> {
    const name = `${this.#name}-${++this.#made}`;
    const subject = this.#world.add(name, this.#random.pick(programs));
    this.#own.push(subject);
    this.changes.made(subject, name);
    const reply = await this.#world.act(subject, "create", "POST", `/containers/create?name=${name}`, subject.program.body);
    if (reply?.status === 201) subject.id = JSON.parse(String(reply.body)).Id;
  }

  async #list(): Promise<void> {
    await this.#world.up;
    const { reply } = await this.#world.send("GET", "/containers/json?all=1", undefined, "list");
    if (reply?.status === 200) for (const { State } of JSON.parse(String(reply.body))) if (State === "dead") this.#world.disagree("list: a dead container");
  }

  async #exec(subject: Subject, choice: number): Promise<void> {
    const world = this.#world;
    await world.up;
    const label = `exec ${subject.program.name} ${subject.ref}`;
    const { reply } = await world.send("POST", `/containers/${subject.ref}/exec`, { Cmd: ["sh", "-c", choice % 3 === 0 ? "sleep 1" : "echo hello; exit 7"], AttachStdout: true }, label);
    if (reply?.status !== 201) return;
    const { Id } = JSON.parse(String(reply.body));
    if (choice % 4 === 0) return void (await world.send("POST", `/exec/${Id}/start`, { Detach: true }, label));
    await this.#stream(`/exec/${Id}/start`, { Detach: false }, choice, label);
  }

  async #attach(subject: Subject, choice: number): Promise<void> {
    await this.#world.up;
    await this.#stream(`/containers/${subject.ref}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=${choice % 2}`, undefined, choice, `attach ${subject.program.name} ${subject.ref}`);
  }

  /** A connection that is aborted, half closed or left to end. */
  async #stream(path: string, json: object | undefined, choice: number, label: string): Promise<void> {
    let socket: Socket;
    try {
      socket = await Promise.race([this.#world.engine.api.hijack(path, json), delay(20_000).then(() => Promise.reject(new Error("no answer")))]);
    } catch (error) {
      if (String(error).includes("no answer")) this.#world.disagree(`${label}: no answer`);
      return this.#world.note(`${label}: ${String(error).slice(0, 200)}`);
    }
    socket.on("error", () => {});
    socket.resume();
    socket.write("line\n");
    if (choice % 5 < 2) socket.end();
    const ended = once(socket, "close").catch(() => {});
    await Promise.race([ended, delay(choice % 300)]);
    socket.destroy();
    this.#world.note(`${label}: streamed`);
    this.#world.count(label.split(" ")[0] ?? "");
  }

  async #logs(subject: Subject): Promise<void> {
    const world = this.#world;
    await world.up;
    const { reply } = await world.send("GET", `/containers/${subject.ref}/logs?stdout=1&stderr=1`, undefined, `logs ${subject.program.name} ${subject.ref}`);
    if (reply?.status !== 200 || subject.program.name !== "talker") return;
    const numbers = demultiplex(reply.body).stdout.split("\n").filter((line) => line !== "").map(Number);
    const gap = numbers.findIndex((number, at) => number !== 1 && number !== (numbers[at - 1] ?? 0) + 1);
    // A daemon that dies sends half an answer, a killed shim writes half a line.
    if (gap >= 0 && !subject.shimKilled) world.disagree(`logs of ${subject.ref}: ${numbers[gap - 1]} is followed by ${numbers[gap]}`);
  }

  /** Goes on beside the client's other calls, and over restarts of the daemon. */
  #wait(subject: Subject, condition: string): void {
    const wait = async (): Promise<void> => {
      for (;;) {
        await this.#world.up;
        const began = performance.now();
        try {
          const { status, body } = await this.#world.engine.api.send("POST", `/containers/${subject.ref}/wait?condition=${condition}`, { timeoutMs: 1 << 30 });
          // The daemon may have died behind the head of the answer.
          if (status === 404 || /"StatusCode":\d+/.test(String(body))) return this.#world.note(`wait ${condition} ${subject.ref}: ${status} ${String(body).trim()}`);
        } catch {
          await delay(20);
        }
        if (performance.now() - began < 5) await delay(20);
      }
    };
    this.#world.waits.add({ what: `wait ${condition} of ${subject.program.name} ${subject.ref}`, over: wait() });
  }
}

const gone = (subject: Subject): boolean => subject.model.possible.size === 1 && subject.model.possible.has("absent");

/** Reads events, and that starts and ends of a container take turns as far as one connection tells. */
export async function watchEvents(world: World, until: () => boolean): Promise<void> {
  while (!until()) {
    await world.up;
    const turns = new Map<string, string>();
    let rest = "";
    try {
      const stream = await world.engine.api.open("GET", "/events", { timeoutMs: 1 << 30 });
      world.events = stream;
      for await (const chunk of stream) {
        const lines = (rest + String(chunk)).split("\n");
        rest = lines.pop() ?? "";
        for (const { Type, Action, Actor } of lines.map((line) => JSON.parse(line))) {
          if (Type !== "container" || (Action !== "start" && Action !== "die")) continue;
          world.count(`event ${Action}`);
          if (turns.get(Actor.ID) === Action) world.disagree(`events: ${Action} twice of ${Actor.Attributes.name} ${Actor.ID}`);
          turns.set(Actor.ID, Action);
        }
      }
    } catch {
      await delay(20);
    }
  }
}
