/**
 * Networks and endpoints in the state database.
 *
 *   networks    one row each: written before the network is made, removed after it is gone. The predefined ones keep their ids
 *               for the life of the data root and have no definition
 *   endpoints   what each running container holds: written before its interface is made, removed when it is given back,
 *               together with the next one that is written, or a moment later: until then a daemon's start finds rows of
 *               containers that do not run, and collects them
 */
import type { DatabaseSync } from "node:sqlite";
import type { PortState } from "../../core/container.ts";
import { randomId } from "../../lib/random-id.ts";
import type { Migration } from "../../sys/database.ts";
import type { NetworkDefinition } from "./definition.ts";

export const networkMigrations: readonly Migration[] = [
  {
    id: "networks-1",
    sql: `
      CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL, created TEXT NOT NULL, subnet TEXT) STRICT;
      CREATE TABLE endpoints (container TEXT NOT NULL, network TEXT NOT NULL REFERENCES networks (id), endpoint TEXT NOT NULL, address TEXT, PRIMARY KEY (container, network)) STRICT;
    `,
  },
  { id: "networks-2", sql: "ALTER TABLE endpoints ADD COLUMN ports TEXT" },
  {
    id: "networks-3",
    sql: `
      ALTER TABLE networks ADD COLUMN definition TEXT;
      ALTER TABLE endpoints ADD COLUMN address6 TEXT;
      ALTER TABLE endpoints ADD COLUMN sandbox TEXT NOT NULL DEFAULT '';
      ALTER TABLE endpoints ADD COLUMN interface TEXT NOT NULL DEFAULT 'eth0';
      ALTER TABLE endpoints ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
    `,
  },
  // Consecutive ports are one now, here and in the containers' records: a version that does not know that must not open this database.
  { id: "networks-4", sql: "" },
];

export interface NetworkRow {
  id: string;
  name: string;
  driver: string;
  /** RFC 3339. */
  created: string;
  /** Of the default bridge: the chosen IPv4 subnet with its gateway, as "172.17.0.1/16". */
  subnet: string | undefined;
  definition: NetworkDefinition | undefined;
}

export interface EndpointRow {
  container: string;
  network: string;
  endpoint: string;
  /** IPv4 and IPv6, with their lengths. */
  addresses: readonly string[];
  /** Published; empty: none. */
  ports: readonly PortState[];
  sandbox: string;
  interface: string;
  slot: number;
}

export interface NetworkStore {
  /** The network of that name, made with a new id when there is none. */
  predefined(name: string, driver: string): NetworkRow;
  /** Those that users made. */
  defined(): (NetworkRow & { definition: NetworkDefinition })[];
  addNetwork(row: NetworkRow): void;
  removeNetwork(id: string): void;
  setDefinition(id: string, definition: NetworkDefinition): void;
  setSubnet(id: string, subnet: string): void;
  endpoints(): EndpointRow[];
  addEndpoint(row: EndpointRow): void;
  /** Later: see above. */
  removeEndpoints(container: string): void;
  /** Writes what is still to be written. */
  settle(): void;
  removeEndpoint(container: string, network: string): void;
}

const LATER_MILLISECONDS = 50;
const RETRY_MILLISECONDS = 2000;

type Texts<Row> = Record<keyof Row, string | null>;

export const newNetworkRow = (name: string, driver: string, definition?: NetworkDefinition): NetworkRow => ({ id: randomId(), name, driver, created: new Date().toISOString(), subnet: undefined, definition });

export function createNetworkStore(database: DatabaseSync): NetworkStore {
  const NETWORK = "SELECT id, name, driver, created, subnet, definition FROM networks";
  const byName = database.prepare(`${NETWORK} WHERE name = ?`);
  const defined = database.prepare(`${NETWORK} WHERE definition IS NOT NULL`);
  const insert = database.prepare("INSERT INTO networks (id, name, driver, created, definition) VALUES (?, ?, ?, ?, ?)");
  const subnet = database.prepare("UPDATE networks SET subnet = ? WHERE id = ?");
  const define = database.prepare("UPDATE networks SET definition = ? WHERE id = ?");
  const dropEndpoints = database.prepare("DELETE FROM endpoints WHERE network = ?");
  const drop = database.prepare("DELETE FROM networks WHERE id = ?");
  const all = database.prepare("SELECT container, network, endpoint, address, address6, ports, sandbox, interface, slot FROM endpoints ORDER BY container, slot");
  const add = database.prepare("INSERT OR REPLACE INTO endpoints (container, network, endpoint, address, address6, ports, sandbox, interface, slot) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM endpoints WHERE container = ?");
  const removeOne = database.prepare("DELETE FROM endpoints WHERE container = ? AND network = ?");
  const addNetwork = ({ id, name, driver, created, definition }: NetworkRow): void => void insert.run(id, name, driver, created, definition ? JSON.stringify(definition) : null);
  const leaving = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  /** In one commit with the rows that are to go: what they hold may be another's by now. */
  function write(run: () => void): void {
    if (leaving.size === 0) return run();
    const alone = !database.isTransaction;
    if (alone) database.exec("BEGIN IMMEDIATE");
    try {
      for (const container of leaving) remove.run(container);
      run();
      if (alone) database.exec("COMMIT");
    } catch (error) {
      if (alone && database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
    // A larger transaction may yet be undone.
    if (alone) leaving.clear();
  }

  function settleIn(milliseconds: number): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      try {
        write(() => {});
      } catch {
        settleIn(RETRY_MILLISECONDS);
      }
    }, milliseconds).unref();
  }

  return {
    predefined: (name, driver) => {
      const known = byName.get(name) as Texts<NetworkRow> | undefined;
      if (known) return networkRow(known);
      const made = newNetworkRow(name, driver);
      addNetwork(made);
      return made;
    },
    defined: () => (defined.all() as Texts<NetworkRow>[]).map(networkRow).filter((row): row is NetworkRow & { definition: NetworkDefinition } => row.definition !== undefined),
    addNetwork,
    removeNetwork: (id) =>
      write(() => {
        dropEndpoints.run(id);
        drop.run(id);
      }),
    setDefinition: (id, definition) => void define.run(JSON.stringify(definition), id),
    setSubnet: (id, text) => void subnet.run(text, id),
    endpoints: () => (all.all() as (Texts<EndpointRow> & { address: string | null; address6: string | null })[]).map((row) => ({ container: row.container!, network: row.network!, endpoint: row.endpoint!, addresses: [row.address, row.address6].filter((text) => text !== null), ports: row.ports === null ? [] : (JSON.parse(row.ports) as PortState[]), sandbox: row.sandbox!, interface: row.interface!, slot: Number(row.slot) })),
    addEndpoint: (row) => {
      const of = (isFamily: (text: string) => boolean): string | null => row.addresses.find(isFamily) ?? null;
      const ports = row.ports.length === 0 ? null : JSON.stringify(row.ports);
      write(() => void add.run(row.container, row.network, row.endpoint, of((text) => !text.includes(":")), of((text) => text.includes(":")), ports, row.sandbox, row.interface, row.slot));
    },
    removeEndpoints: (container) => {
      leaving.add(container);
      settleIn(LATER_MILLISECONDS);
    },
    settle: () => {
      clearTimeout(timer);
      timer = undefined;
      write(() => {});
    },
    removeEndpoint: (container, network) => write(() => void removeOne.run(container, network)),
  };
}

const networkRow = (row: Texts<NetworkRow>): NetworkRow => ({ id: row.id!, name: row.name!, driver: row.driver!, created: row.created!, subnet: row.subnet ?? undefined, definition: row.definition === null ? undefined : (JSON.parse(row.definition) as NetworkDefinition) });
