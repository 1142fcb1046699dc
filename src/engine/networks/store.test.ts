import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../sys/database.ts";
import { createNetworkStore, type EndpointRow, networkMigrations } from "./store.ts";

const row = (container: string, network: string, address: string): EndpointRow => ({ container, network, endpoint: `e-${container}`, addresses: [address], ports: [], sandbox: "s", interface: "eth0", slot: 0 });

test("endpoints that were given back go with the next row that is written, or a moment later", async () => {
  const database = openDatabase(":memory:", networkMigrations);
  const store = createNetworkStore(database);
  const { id } = store.predefined("bridge", "bridge");
  const containers = (): string[] => store.endpoints().map(({ container }) => container);
  store.addEndpoint(row("a", id, "10.0.0.2/24"));
  store.addEndpoint(row("b", id, "10.0.0.3/24"));
  store.removeEndpoints("a");
  store.removeEndpoints("b");
  store.addEndpoint(row("b", id, "10.0.0.2/24"));
  assert.deepEqual(store.endpoints().map(({ container, addresses }) => [container, addresses]), [["b", ["10.0.0.2/24"]]]);

  store.removeEndpoints("b");
  while (containers().length > 0) await new Promise((resolve) => setTimeout(resolve, 5));

  store.addEndpoint(row("c", id, "10.0.0.2/24"));
  store.removeEndpoints("c");
  database.exec("BEGIN");
  store.addEndpoint(row("d", id, "10.0.0.3/24"));
  assert.deepEqual(containers(), ["d"]);
  database.exec("ROLLBACK");
  assert.deepEqual(containers(), ["c"]);
  store.settle();
  assert.deepEqual(containers(), []);
  database.close();
});
