/**
 * Networks and endpoints in the state database.
 *
 *   networks    one row each; the predefined ones keep their ids for the life of the data root
 *   endpoints   what each running container holds: written before its interface is made, removed when it is given back
 */
import { randomBytes } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { PortState } from "../../core/container.ts";
import type { Migration } from "../../sys/database.ts";

export const networkMigrations: readonly Migration[] = [
  {
    id: "networks-1",
    sql: `
      CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL, created TEXT NOT NULL, subnet TEXT) STRICT;
      CREATE TABLE endpoints (container TEXT NOT NULL, network TEXT NOT NULL REFERENCES networks (id), endpoint TEXT NOT NULL, address TEXT, PRIMARY KEY (container, network)) STRICT;
    `,
  },
  { id: "networks-2", sql: "ALTER TABLE endpoints ADD COLUMN ports TEXT" },
];

export interface NetworkRow {
  id: string;
  name: string;
  driver: string;
  /** RFC 3339. */
  created: string;
  /** The chosen IPv4 subnet with its gateway, as "172.17.0.1/16". */
  subnet: string | undefined;
}

export interface EndpointRow {
  container: string;
  network: string;
  endpoint: string;
  address: string | undefined;
  /** Published; empty: none. */
  ports: readonly PortState[];
}

export interface NetworkStore {
  /** The network of that name, made with a new id when there is none. */
  predefined(name: string, driver: string): NetworkRow;
  setSubnet(id: string, subnet: string): void;
  endpoints(): EndpointRow[];
  addEndpoint(row: EndpointRow): void;
  removeEndpoints(container: string): void;
}

export function createNetworkStore(database: DatabaseSync): NetworkStore {
  const byName = database.prepare("SELECT id, name, driver, created, subnet FROM networks WHERE name = ?");
  const insert = database.prepare("INSERT INTO networks (id, name, driver, created) VALUES (?, ?, ?, ?)");
  const subnet = database.prepare("UPDATE networks SET subnet = ? WHERE id = ?");
  const all = database.prepare("SELECT container, network, endpoint, address, ports FROM endpoints");
  const add = database.prepare("INSERT OR REPLACE INTO endpoints (container, network, endpoint, address, ports) VALUES (?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM endpoints WHERE container = ?");
  const find = (name: string): NetworkRow | undefined => {
    const row = byName.get(name) as Record<keyof NetworkRow, string | null> | undefined;
    return row && { id: row.id!, name: row.name!, driver: row.driver!, created: row.created!, subnet: row.subnet ?? undefined };
  };
  return {
    predefined: (name, driver) => {
      const known = find(name);
      if (known) return known;
      const made: NetworkRow = { id: randomBytes(32).toString("hex"), name, driver, created: new Date().toISOString(), subnet: undefined };
      insert.run(made.id, made.name, made.driver, made.created);
      return made;
    },
    setSubnet: (id, text) => void subnet.run(text, id),
    endpoints: () => (all.all() as Record<keyof EndpointRow, string | null>[]).map((row) => ({ container: row.container!, network: row.network!, endpoint: row.endpoint!, address: row.address ?? undefined, ports: row.ports === null ? [] : (JSON.parse(row.ports) as PortState[]) })),
    addEndpoint: (row) => void add.run(row.container, row.network, row.endpoint, row.address ?? null, row.ports.length === 0 ? null : JSON.stringify(row.ports)),
    removeEndpoints: (container) => void remove.run(container),
  };
}
