/** The table of docs/runtime-spec.md against the specification's schema, the parser and the tests that it names. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compileIoPriority, compileScheduler } from "../../src/oci/compile/scheduling.ts";
import { memoryPolicyFlags, memoryPolicyModes } from "../../src/oci/compile/memory-policy.ts";
import { parsePropagation } from "../../src/oci/compile/mount-options.ts";
import { compilePersonality } from "../../src/oci/compile/personality.ts";
import { namespaceTypes } from "../../src/oci/plan/encode.ts";
import type { NamespaceType } from "../../src/oci/plan/types.ts";
import { architecturesOf } from "../../src/oci/seccomp/architectures.ts";
import { compileSeccomp, filterFlags } from "../../src/oci/seccomp/compile.ts";
import { actionValue } from "../../src/oci/seccomp/rules.ts";
import { parseConfig } from "../../src/oci/validate/config.ts";
import { rows, table } from "./members.ts";

const project = join(import.meta.dirname, "../..");
/** Beside the checkout, where the reference material is kept; it is no part of the project. */
const schemas = join(project, "../shared/reference/oci-runtime");
const skip = existsSync(schemas) ? false : `no ${schemas} here`;
const otherSystems = new Set(["windows", "solaris", "vm", "zos", "freebsd"]);

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  pattern?: string;
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  allOf?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
}

/** A configuration in which every member of the schema has a value, and their paths. */
class Sample {
  readonly members = new Set<string>();
  /** The values that members may have, where the schema names them. */
  readonly values = new Map<string, string[]>();
  readonly value: Record<string, unknown>;
  readonly #documents = new Map<string, Record<string, unknown>>();

  constructor() {
    this.value = this.#valueOf(this.#document("config-schema.json"), "config-schema.json", "") as Record<string, unknown>;
  }

  #document(file: string): Record<string, unknown> {
    const document = this.#documents.get(file) ?? (JSON.parse(readFileSync(join(schemas, file), "utf8")) as Record<string, unknown>);
    this.#documents.set(file, document);
    return document;
  }

  #valueOf(schema: Schema, file: string, path: string): unknown {
    if (schema.$ref !== undefined) {
      const [other = "", pointer = ""] = schema.$ref.split("#");
      const next = other === "" ? file : other;
      return this.#valueOf(pointer.split("/").filter(Boolean).reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], this.#document(next)) as Schema, next, path);
    }
    const parts = [...(schema.allOf ?? []), ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].map((part) => this.#valueOf(part, file, path));
    if (parts.length > 0 && !schema.properties) return parts.every((part) => typeof part === "object") ? Object.assign({}, ...(parts as object[])) : parts[0];
    if (schema.enum) {
      this.values.set(path, schema.enum as string[]);
      return schema.enum[0];
    }
    return this.#plain(schema, file, path);
  }

  #plain(schema: Schema, file: string, path: string): unknown {
    const named = Object.values(schema.patternProperties ?? {})[0] ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
    if (schema.properties) return Object.fromEntries(Object.entries(schema.properties).flatMap(([name, member]) => (path === "" && otherSystems.has(name) ? [] : [[name, this.#member(member, file, path === "" ? name : `${path}.${name}`)]])));
    if (named) return { name: this.#valueOf(named, file, `${path}{}`) };
    if (schema.items) return [this.#valueOf(schema.items, file, `${path}[]`)];
    const type = [schema.type].flat()[0];
    if (type === "object") return { name: "text" };
    if (type === "boolean") return true;
    if (type === "string") return schema.pattern?.includes("[KMG]B") ? "2MB" : "text";
    return 1;
  }

  #member(schema: Schema, file: string, path: string): unknown {
    this.members.add(path);
    return this.#valueOf(schema, file, path);
  }
}

test("every member of the schema is in the table, and nothing else", { skip }, () => {
  const members = [...new Sample().members];
  assert.ok(members.length > 200, `${members.length} members`);
  const isBelow = (member: string, row: string): boolean => member === row || [".", "[", "{"].some((next) => member.startsWith(row + next));
  const all = rows.flatMap((row) => row.members);
  assert.deepEqual(members.filter((member) => !all.some((row) => isBelow(member, row))), []);
  assert.deepEqual(all.filter((row) => !members.includes(row)), []);
  assert.equal(new Set(all).size, all.length);
});

test("every member is read but those of other systems", { skip }, () => {
  const { value } = new Sample();
  const read = parseConfig(JSON.stringify(value));
  const { commandLine: _, user, ...process } = value["process"] as { commandLine: string; user: Record<string, unknown> };
  const { username: __, ...ids } = user;
  assert.deepEqual(read, { ...value, process: { ...process, user: ids } });
});

/** By member: whether a value is taken. */
const takes: Record<string, (value: string) => unknown> = {
  "process.ioPriority.class": (value) => compileIoPriority({ class: value }),
  "process.scheduler.policy": (policy) => compileScheduler({ policy }),
  "process.scheduler.flags[]": (flag) => compileScheduler({ policy: "SCHED_OTHER", flags: [flag] }),
  "linux.namespaces[].type": (type) => assert.ok(namespaceTypes.includes(type as NamespaceType)),
  "linux.rootfsPropagation": (value) => assert.ok(parsePropagation(value)),
  "linux.seccomp.defaultAction": (action) => actionValue(action, undefined, "x"),
  "linux.seccomp.syscalls[].action": (action) => actionValue(action, undefined, "x"),
  "linux.seccomp.syscalls[].args[].op": (op) => compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, value: 1, op }] }] }, "x86_64"),
  "linux.seccomp.flags[]": (flag) => assert.ok(flag in filterFlags),
  "linux.seccomp.architectures[]": (name) => architecturesOf([name], "x86_64"),
  "linux.memoryPolicy.mode": (mode) => assert.ok(mode in memoryPolicyModes),
  "linux.memoryPolicy.flags[]": (flag) => assert.ok(flag in memoryPolicyFlags),
  "linux.personality.domain": (domain) => compilePersonality({ domain }),
};

test("every value that the schema names is taken", { skip }, () => {
  const { values } = new Sample();
  assert.deepEqual([...values.keys()].toSorted(), Object.keys(takes).toSorted());
  for (const [member, names] of values) for (const name of names) assert.doesNotThrow(() => takes[member]!(name), `${member}: ${name}`);
});

test("the tests that the table names are there", () => {
  for (const { proof: [file, title] } of rows) assert.ok(readFileSync(join(project, file), "utf8").includes(`test("${title}"`), `${file}: ${title}`);
});

test("docs/runtime-spec.md has the table", () => {
  assert.ok(readFileSync(join(project, "docs/runtime-spec.md"), "utf8").includes(table()), `docs/runtime-spec.md must have:\n${table()}`);
});
