/** Pulls from Debian's docker-registry, by our client and the stock one, many at once, and over the death of the daemon. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Cli, clients, which } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";
import { layerOf, registryName, RegistryStore } from "../harness/registry.ts";

const skip = which("docker-registry") === undefined ? "no docker-registry (Debian: apt-get install docker-registry)" : false;
const shared = ["one", "two", "three", "four"];

describe("pull from a registry", { skip }, () => {
  let engine: Engine;
  let endRegistry: (() => void) | undefined;
  before(async () => {
    engine = await startedEngine();
    const store = new RegistryStore(join(engine.machine.folder, "registry"));
    const base = busyboxImage();
    store.add("tool", [base, layerOf("more", { files: 20, mean: 5000 })], { Cmd: ["echo", "pulled"] });
    const below = layerOf("below", { files: 50, mean: 20_000 });
    for (const name of shared) store.add(name, [base, below, layerOf(name, { files: 5, mean: 2000 })], { Cmd: ["ls", `/${name}/file-1`] });
    store.add("large", [base, layerOf("large", { files: 100, mean: 100_000 })], { Cmd: ["true"] });
    endRegistry = await store.serve(engine.machine);
  });
  after(async () => {
    endRegistry?.();
    await endEngine(engine);
  });

  const pull = async (name: string): Promise<string> => {
    const { status, body } = await engine.api.send("POST", "/images/create", { query: { fromImage: `${registryName}/${name}`, tag: "1" }, timeoutMs: 60_000 });
    assert.equal(status, 200, body.toString());
    return body.toString();
  };
  const clean = async (): Promise<void> => assert.deepEqual((await engine.api.json("POST", "/system/check", {})).Problems, []);

  for (const { name, program } of clients()) {
    test(`client ${name}: pull, and run of what is not here`, { skip: program === undefined ? `no ${name} on PATH` : false }, async () => {
      const cli = new Cli(program!, engine);
      const image = `${registryName}/tool:1`;
      const said = await cli.ok("pull", image);
      assert.match(said, /^1: Pulling from tool\n/);
      assert.match(said, /: Pull complete\n/);
      assert.match(said, new RegExp(`Digest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image for ${image}\n${image}$`));
      assert.match(await cli.ok("pull", image), /Status: Image is up to date for/);
      await cli.ok("rmi", image);
      const { code, stdout, stderr } = await cli.run(["run", "--rm", image]);
      assert.deepEqual([code, stdout], [0, "pulled\n"], stderr);
      assert.match(stderr, /^Unable to find image '127\.0\.0\.1:5000\/tool:1' locally\n/);
      assert.equal((await cli.run(["run", "--rm", "--pull=never", `${registryName}/one:1`])).code, 125);
      await cli.ok("rmi", image);
      await clean();
    });
  }

  test("twenty pulls of images that share layers, at once", async () => {
    await Promise.all(Array.from({ length: 20 }, (_, at) => pull(shared[at % shared.length]!)));
    await clean();
    for (const name of shared) await engine.api.json("DELETE", `/images/${registryName}/${name}:1`);
    await clean();
  });

  test("the daemon is killed in a pull; the next pull goes on, and nothing is left over", async () => {
    await engine.stop();
    await engine.start({ env: { GANTRY_FAULT: "image-blob-arriving:10" } });
    await assert.rejects(pull("large"));
    await engine.ended();
    await engine.start();
    await clean();
    assert.match(await pull("large"), /Downloaded newer image/);
    await clean();
    await engine.api.json("DELETE", `/images/${registryName}/large:1`);
  });
});
