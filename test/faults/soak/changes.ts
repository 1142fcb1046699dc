/** Calls beside the life of a container: its settings, files, mounts and networks, and volumes, networks and images of a client's own. */
import { tarOf } from "../../../src/sys/tar.fixture.ts";
import type { Reply } from "../../harness/api.ts";
import type { Random } from "./random.ts";
import { Register } from "./register.ts";
import type { Subject, World } from "./world.ts";

/** What one client alone changes of a container. */
export interface Settings {
  name: Register<string>;
  label: Register<string>;
  memory: Register<number>;
  file: Register<string>;
  member: Register<boolean>;
  mounted: Register<boolean>;
}

const settingsOf = (name: string): Settings => ({ name: new Register(`/${name}`), label: new Register(""), memory: new Register(0), file: new Register(""), member: new Register(false), mounted: new Register(false) });

export const sharedVolume = "soak-shared";
export const sharedNetwork = "soak-net";
const kinds = ["volumes", "networks", "images"] as const;
type Kind = (typeof kinds)[number];

export class Changes {
  readonly #world: World;
  readonly #random: Random;
  readonly #client: string;
  readonly #settings = new Map<Subject, Settings>();
  readonly #things = new Map<string, Register<boolean>>();
  #count = 0;

  constructor(world: World, random: Random, client: string) {
    this.#world = world;
    this.#random = random;
    this.#client = client;
  }

  /** A new container, under this name. */
  made(subject: Subject, name: string): void {
    this.#settings.set(subject, settingsOf(name));
  }

  /** One change of a container that has been made. */
  async step(subject: Subject & { id: string }): Promise<void> {
    const settings = this.#settings.get(subject);
    if (settings === undefined) return;
    switch (this.#random.below(8)) {
      case 0:
        return this.#rename(subject, settings);
      case 1:
        return this.#label(subject, settings);
      case 2:
        return this.#limit(subject, settings);
      case 3:
        return this.#copyIn(subject, settings);
      case 4:
        return this.#copyOut(subject, settings);
      case 5:
        return this.#join(subject, settings);
      case 6:
        return this.#mount(subject, settings);
      default:
        return this.#commit(subject);
    }
  }

  /** What an answered GET /containers/ID/json says, seen while nobody changes it. */
  check(subject: Subject, reply: Reply): void {
    const settings = this.#settings.get(subject);
    if (settings === undefined || reply.status !== 200) return;
    const { Name, Config, HostConfig, NetworkSettings, Mounts } = JSON.parse(String(reply.body));
    const told = {
      name: settings.name.see(Name),
      label: settings.label.see(Config.Labels.soak ?? ""),
      memory: settings.memory.see(HostConfig.Memory),
      member: settings.member.see(Object.hasOwn(NetworkSettings.Networks, sharedNetwork)),
      mounted: settings.mounted.see(Mounts.some(({ Name }: { Name: string }) => Name === sharedVolume)),
    };
    for (const [what, possible] of Object.entries(told)) if (possible !== undefined) this.#world.disagree(`${what} of ${subject.program.name} ${subject.ref}: ${String(reply.body)}, possible was ${possible}`);
  }

  /** Volumes, networks and images of this client's. */
  async thing(): Promise<void> {
    const kind = this.#random.pick(kinds);
    const name = `${this.#client}-${kind}-${this.#random.below(3)}`;
    const register = this.#thing(kind, name);
    const what = this.#random.below(4);
    if (what === 0) return this.#look(kind, name, register);
    if (what === 1 && kind === "volumes") return this.#pruneVolumes();
    if (!register.is(true)) return kind === "images" ? undefined : this.#make(kind, name, register);
    await this.#ask("DELETE", pathOf(kind, name), undefined, `remove ${kind} ${name}`, (outcome) => register.set(false, outcome === "absent" ? "done" : outcome));
  }

  async lookAtAll(): Promise<void> {
    for (const [key, register] of this.#things) {
      const [kind, name] = key.split(" ") as [Kind, string];
      await this.#look(kind, name, register);
    }
  }

  #thing(kind: Kind, name: string): Register<boolean> {
    const key = `${kind} ${name}`;
    const known = this.#things.get(key);
    if (known) return known;
    const register = new Register(false);
    this.#things.set(key, register);
    return register;
  }

  async #look(kind: Kind, name: string, register: Register<boolean>): Promise<void> {
    await this.#ask("GET", `${pathOf(kind, name)}${kind === "images" ? "/json" : ""}`, undefined, `look ${kind} ${name}`, (outcome) => {
      if (outcome !== "done" && outcome !== "absent") return;
      const possible = register.see(outcome === "done");
      if (possible !== undefined) this.#world.disagree(`${kind} ${name}: ${outcome === "done" ? "is there" : "is not there"}, possible was ${possible}`);
    });
  }

  async #make(kind: "volumes" | "networks", name: string, register: Register<boolean>): Promise<void> {
    await this.#ask("POST", `/${kind}/create`, { Name: name, Labels: { owner: this.#client } }, `create ${kind} ${name}`, (outcome) => register.set(true, outcome === "refused" ? "failed" : outcome));
  }

  async #pruneVolumes(): Promise<void> {
    const filters = encodeURIComponent(JSON.stringify({ all: ["true"], label: [`owner=${this.#client}`] }));
    await this.#ask("POST", `/volumes/prune?filters=${filters}`, undefined, `prune volumes`, (outcome) => {
      for (const [key, register] of this.#things) if (key.startsWith("volumes ")) register.set(false, outcome);
    });
  }

  async #rename(subject: Subject & { id: string }, { name }: Settings): Promise<void> {
    // Nobody else calls it by name in that moment: ids are used once they are known.
    subject.ref = subject.id;
    const next = `${this.#client}-r${++this.#count}`;
    await this.#ask("POST", `/containers/${subject.id}/rename?name=${next}`, undefined, `rename ${labelOf(subject)}`, (outcome) => name.set(`/${next}`, outcome));
  }

  async #label(subject: Subject, { label }: Settings): Promise<void> {
    const value = String(++this.#count);
    await this.#ask("POST", `/containers/${subject.ref}/update`, { LabelAdd: { soak: value } }, `label ${labelOf(subject)}`, (outcome) => label.set(value, outcome));
  }

  async #limit(subject: Subject, { memory }: Settings): Promise<void> {
    const value = (64 + this.#random.below(64)) << 20;
    await this.#ask("POST", `/containers/${subject.ref}/update`, { Memory: value, MemorySwap: value * 2 }, `limit ${labelOf(subject)}`, (outcome) => memory.set(value, outcome));
  }

  async #copyIn(subject: Subject, { file }: Settings): Promise<void> {
    const value = String(++this.#count);
    await this.#ask("PUT", `/containers/${subject.ref}/archive?path=/`, tarOf({ name: "soak", data: value }), `copy-in ${labelOf(subject)}`, (outcome) => file.set(value, outcome, { partly: true }));
  }

  async #copyOut(subject: Subject, { file }: Settings): Promise<void> {
    await this.#ask("GET", `/containers/${subject.ref}/archive?path=/soak`, undefined, `copy-out ${labelOf(subject)}`, (outcome, reply) => {
      const body = reply?.body ?? Buffer.alloc(0);
      const isMissing = outcome === "absent" && body.includes("Could not find the file");
      if (outcome !== "done" && !isMissing) return;
      const seen = isMissing ? "" : String(body.subarray(512, 512 + Number.parseInt(body.toString("latin1", 124, 135), 8)));
      const possible = file.see(seen);
      if (possible !== undefined) this.#world.disagree(`/soak in ${labelOf(subject)}: ${seen}, possible was ${possible}`);
    });
  }

  async #join(subject: Subject, { member }: Settings): Promise<void> {
    const wanted = !member.is(true);
    await this.#ask("POST", `/networks/${sharedNetwork}/${wanted ? "connect" : "disconnect"}`, { Container: subject.ref }, `${wanted ? "connect" : "disconnect"} ${labelOf(subject)}`, (outcome) => member.set(wanted, outcome === "refused" ? "failed" : outcome));
  }

  async #mount(subject: Subject, { mounted }: Settings): Promise<void> {
    const wanted = !mounted.is(true);
    const change = wanted ? { MountAdd: [{ Type: "volume", Source: sharedVolume, Target: "/shared" }] } : { MountRemove: ["/shared"] };
    await this.#ask("POST", `/containers/${subject.ref}/update`, change, `${wanted ? "mount" : "unmount"} ${labelOf(subject)}`, (outcome) => mounted.set(wanted, outcome === "refused" || outcome === "absent" ? "failed" : outcome));
  }

  async #commit(subject: Subject): Promise<void> {
    const name = `${this.#client}-images-${this.#random.below(3)}`;
    const reply = await this.#world.act(subject, "commit", "POST", `/commit?container=${subject.ref}&repo=${name}&pause=${this.#random.below(2)}`);
    const outcome = reply === undefined ? "lost" : reply.status === 201 ? "done" : reply.status >= 500 ? "failed" : "refused";
    this.#thing("images", name).set(true, outcome);
  }

  async #ask(method: string, path: string, body: object | Buffer | undefined, what: string, told: (outcome: Awaited<ReturnType<World["send"]>>["outcome"], reply: Reply | undefined) => void): Promise<void> {
    await this.#world.up;
    const { outcome, reply } = await this.#world.send(method, path, body, what);
    told(outcome, reply);
  }
}

const labelOf = ({ program, ref }: Subject): string => `${program.name} ${ref}`;
const pathOf = (kind: Kind, name: string): string => `/${kind}/${name}`;
