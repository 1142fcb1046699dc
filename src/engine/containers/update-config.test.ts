import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyConfig } from "../../core/container-config.ts";
import { changedConfig, type ConfigChange, validateConfigChange } from "./update-config.ts";

const change = (given: Partial<ConfigChange>): ConfigChange => ({ LabelAdd: null, LabelRemove: null, EnvAdd: null, EnvRemove: null, ...given });

test("labels and variables come, change and go", () => {
  const config = { ...emptyConfig(), Labels: { a: "1", b: "2" }, Env: ["A=1", "B=2", "C"] };
  const { Labels, Env } = changedConfig(config, change({ LabelAdd: { b: "3", c: "4" }, LabelRemove: ["a", "none"], EnvAdd: ["B=x=y", "D="], EnvRemove: ["A", "C", "E"] }));
  assert.deepEqual([Labels, Env], [{ b: "3", c: "4" }, ["B=x=y", "D="]]);
  assert.deepEqual(changedConfig(config, change({})), config);
  assert.deepEqual(changedConfig(config, change({ EnvRemove: ["A", "B", "C"] })).Env, []);
  assert.equal(changedConfig(emptyConfig(), change({})).Env, null);
});

test("what is no label and no variable", () => {
  for (const given of [{ LabelAdd: { "": "x" } }, { EnvAdd: ["A"] }, { EnvAdd: ["=x"] }, { EnvRemove: [""] }, { EnvRemove: ["A=1"] }]) assert.throws(() => validateConfigChange(change(given)), { code: "invalid-parameter" });
  validateConfigChange(change({ LabelAdd: { x: "" }, EnvAdd: ["A="], EnvRemove: ["A"] }));
});
