/**
 * The devices of a thin pool. The pool does not tell which ones it has, so a crash may leave none that nothing knows of:
 *
 *   make     the state names the device and the next transaction id ─▶ the pool makes it ─▶ its record is written ─▶ the pool gets that id
 *   delete   the device is marked as deleted ─▶ its snapshot's folder goes ─▶ the pool deletes it ─▶ the mark goes
 *
 * At the start a device whose transaction the pool has not got is deleted, and what was marked.
 */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import { command, dmFlag, type Target } from "../../sys/device-mapper.ts";
import { ioctlSlowly } from "../../sys/ioctl.ts";
import type { Pool } from "./open-pool.ts";
import type { Options } from "./options.ts";
import { checkFree, checkWritable, parsePoolStatus, type PoolStatus, SECTOR } from "./pool-status.ts";
import type { DeviceRecord, Records } from "./records.ts";

const LARGEST_DEVICE = 0xff_ffff;
const BLKDISCARD = 0x1277;
/** A container's mounts go a moment after it. Then less often: somebody else has it open. */
const PATIENCE_MILLISECONDS = [20, 50, 100, 200, 400, 800, 1500, 3000];
const RETRY_MILLISECONDS = 30_000;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

export class ThinDevices {
  readonly pool: Pool;
  readonly #records: Records;
  readonly #options: Options;
  readonly #queue = new KeyedQueue();
  readonly #used: Set<number>;
  /** Marked, and still there. */
  readonly #pending = new Map<number, DeviceRecord>();
  #transaction: number;
  #deleting: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(pool: Pool, records: Records, options: Options) {
    this.pool = pool;
    this.#records = records;
    this.#options = options;
    this.#transaction = this.status().transaction;
    this.#rollBack();
    for (const record of records.deleted()) this.#pending.set(record.device, record);
    this.#used = new Set([...records.all().keys()].filter((device) => !this.#pending.has(device)));
    this.#release();
    this.#empty();
  }

  /** The open transaction, with what it made. */
  #rollBack(): void {
    const { device, transaction } = this.#records.state ?? { transaction: this.#transaction };
    if (device === undefined || transaction === this.#transaction) return;
    const record = this.#records.all().get(device);
    if (record !== undefined) rmSync(record);
    this.#removeNow(this.nameOf(device));
    try {
      this.pool.dm.callNow(command.message, { name: this.pool.name, message: `delete ${device}` });
    } catch (error) {
      if (codeOf(error) !== "ENODATA") throw systemError(`devmapper: Rolling back open transaction failed: ${messageOf(error)}`, error);
    }
    this.#records.writeStateNow({ transaction: this.#transaction });
  }

  /** What an earlier daemon left active; what containers use goes with them. */
  #release(): void {
    for (const name of this.activeNames()) this.#removeNow(name, this.#options.deferredRemoval ? dmFlag.deferredRemove : 0);
  }

  #removeNow(name: string, flags: number = 0): void {
    try {
      this.pool.dm.callNow(command.remove, { name, flags });
    } catch (error) {
      if (!["ENXIO", "EBUSY"].includes(codeOf(error) ?? "")) throw error;
    }
  }

  /** Records of what was marked as deleted. */
  condemned(): string[] {
    const all = this.#records.all();
    return [...this.#pending.keys()].flatMap((device) => all.get(device) ?? []);
  }

  /** Whether something has it, or will until it is deleted. */
  isKnown(device: number): boolean {
    return this.#used.has(device) || this.#pending.has(device);
  }

  get largest(): number {
    return Math.max(0, ...this.#used, ...this.#pending.keys());
  }

  nameOf(device: number): string {
    return `${this.pool.prefix}-${device}`;
  }

  get pending(): number {
    return this.#pending.size;
  }

  activeNames(): string[] {
    return this.pool.dm.names().filter((name) => name.startsWith(`${this.pool.prefix}-`) && name !== this.pool.name);
  }

  status(): PoolStatus {
    const target = this.pool.dm.status(this.pool.name);
    if (!target) throw systemError(`devmapper: the thin pool ${this.pool.name} is gone`);
    return parsePoolStatus(this.pool.name, target);
  }

  /** Throws when the pool could not write everything. */
  checkWritable(): void {
    checkWritable(this.pool.name, this.status());
  }

  /** A new device, empty or as `origin` is now. Nothing is left when that or `record`, which writes down to what it belongs, fails. */
  make(origin: number | undefined, record: (device: number) => Promise<void>): Promise<number> {
    return this.#queue.run("transaction", async () => {
      const status = this.status();
      checkWritable(this.pool.name, status);
      checkFree(status, this.#options.leastFreePercent);
      for (;;) {
        const device = this.#freeDevice();
        this.#used.add(device);
        if (await this.#makeAs(device, origin, record)) return device;
      }
    });
  }

  /** The least: so the numbers that may be in use are few. */
  #freeDevice(): number {
    for (let device = 1; device <= LARGEST_DEVICE; device++) if (!this.isKnown(device)) return device;
    throw systemError("devmapper: Unable to find a free device ID");
  }

  /** False when the pool has it already, which nobody has written down: it is left alone. */
  async #makeAs(device: number, origin: number | undefined, record: (device: number) => Promise<void>): Promise<boolean> {
    const next = this.#transaction + 1;
    await this.#records.writeState({ transaction: next, device });
    faultPoint("devicemapper-named");
    try {
      await this.#tell(origin === undefined ? `create_thin ${device}` : `create_snap ${device} ${origin}`);
    } catch (error) {
      await this.#records.writeState({ transaction: this.#transaction });
      if (codeOf(error) === "EEXIST") return false;
      this.#used.delete(device);
      throw systemError(`devmapper: the thin pool ${this.pool.name} cannot make a device: ${messageOf(error)}`, error);
    }
    faultPoint("devicemapper-made");
    try {
      await record(device);
      faultPoint("devicemapper-recorded");
      await this.#tell(`set_transaction_id ${this.#transaction} ${next}`);
    } catch (error) {
      await this.#tell(`delete ${device}`);
      await this.#records.writeState({ transaction: this.#transaction });
      this.#used.delete(device);
      throw error;
    }
    this.#transaction = next;
    faultPoint("devicemapper-finished");
    return true;
  }

  #tell(message: string): Promise<void> {
    return this.pool.dm.message(this.pool.name, message);
  }

  /** The device's node. Until deactivate(); more than once is no error. */
  async activate(device: number, bytes: number): Promise<string> {
    const { dm } = this.pool;
    const name = this.nameOf(device);
    for (let tries = 0; ; tries++) {
      const found = dm.find(name);
      try {
        if (!found) return `/dev/dm-${await dm.make(name, this.target(device, bytes))}`;
        if ((found.flags & dmFlag.deferredRemove) !== 0) await dm.message(name, "@cancel_deferred_remove");
        return `/dev/dm-${found.minor}`;
      } catch (error) {
        // It went, or came, meanwhile.
        if (tries < 10 && ["ENXIO", "EBUSY"].includes(codeOf(error) ?? "")) await delay(10);
        else throw systemError(`devmapper: Error activating devmapper device for '${name}': ${messageOf(error)}`, error);
      }
    }
  }

  target(device: number, bytes: number): Target {
    return { sectors: Math.floor(bytes / SECTOR), type: "thin", parameters: `${this.pool.dm.find(this.pool.name)?.numbers} ${device}` };
  }

  /** To more bytes, while it is active. */
  grow(device: number, bytes: number): Promise<void> {
    return this.pool.dm.reload(this.nameOf(device), this.target(device, bytes));
  }

  /** When nobody uses it any more; without deferred removal what is in use now stays. */
  async deactivate(device: number): Promise<void> {
    try {
      await this.pool.dm.remove(this.nameOf(device), { deferred: this.#options.deferredRemoval });
    } catch (error) {
      if (codeOf(error) !== "EBUSY") throw error;
    }
  }

  /** Whether somebody has it open now. */
  isInUse(device: number): boolean {
    return (this.pool.dm.find(this.nameOf(device))?.openCount ?? 0) > 0;
  }

  /** `forget` drops what they belong to; the pool has its room again when settled() ends. */
  async delete(records: readonly DeviceRecord[], forget: () => void): Promise<void> {
    const busy = this.#options.deferredDeletion ? undefined : records.find(({ device }) => this.isInUse(device));
    if (busy) throw systemError(`devmapper: device ${this.nameOf(busy.device)} is in use, and dm.use_deferred_deletion is off`);
    for (const record of records) {
      await this.#records.markDeleted(record);
      this.#condemn(record);
    }
    faultPoint("devicemapper-marked");
    forget();
    faultPoint("devicemapper-forgotten");
    this.#empty();
  }

  /** The same at the start, of what was to be deleted before. */
  deleteNow(records: readonly DeviceRecord[], forget: () => void): void {
    for (const record of records) {
      this.#records.markDeletedNow(record);
      this.#condemn(record);
    }
    forget();
    this.#empty();
  }

  #condemn(record: DeviceRecord): void {
    this.#pending.set(record.device, record);
    this.#used.delete(record.device);
  }

  #empty(): void {
    this.#deleting = this.#deleting.then(() => this.#deletePending());
  }

  async #deletePending(): Promise<void> {
    clearTimeout(this.#retry);
    await this.#records.syncFolder();
    await Promise.all([...this.#pending.values()].map((record) => this.#deletePatiently(record)));
    if (this.#pending.size > 0) this.#retry = setTimeout(() => this.#empty(), RETRY_MILLISECONDS).unref();
  }

  async #deletePatiently(record: DeviceRecord): Promise<void> {
    for (const patience of PATIENCE_MILLISECONDS) {
      if (await this.#deleteNow(record)) {
        faultPoint("devicemapper-deleted");
        this.#records.unmarkDeleted(record.device);
        this.#pending.delete(record.device);
        return;
      }
      await delay(patience);
    }
  }

  /** False while somebody uses it, or the pool refuses. */
  async #deleteNow(record: DeviceRecord): Promise<boolean> {
    const name = this.nameOf(record.device);
    try {
      if (this.#options.discard && !this.isInUse(record.device)) await this.#discard(record);
      await this.pool.dm.remove(name, { deferred: false });
      await this.#queue.run("transaction", () => this.#tell(`delete ${record.device}`));
      return true;
    } catch (error) {
      return codeOf(error) === "ENODATA";
    }
  }

  /** So that the pool's file gets smaller on the disk. Where it cannot, nothing is lost but that. */
  async #discard({ device, bytes }: DeviceRecord): Promise<void> {
    const { dm } = this.pool;
    const minor = dm.find(this.nameOf(device))?.minor ?? (await dm.make(this.nameOf(device), this.target(device, bytes)));
    const range = Buffer.alloc(16);
    range.writeBigUInt64LE(BigInt(bytes), 8);
    const fd = openSync(`/dev/dm-${minor}`, constants.O_RDWR);
    try {
      await ioctlSlowly(fd, BLKDISCARD, range).catch(() => undefined);
    } finally {
      closeSync(fd);
    }
  }

  settled(): Promise<void> {
    return this.#deleting;
  }

  /** Lets go of the pool, which ends with the last container that uses it. A user's own pool stays. */
  async close(): Promise<void> {
    await this.settled();
    clearTimeout(this.#retry);
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { dm, name, isOwn } = this.pool;
    if (isOwn) await dm.remove(name, { deferred: this.#options.deferredRemoval }).catch(() => undefined);
    dm.close();
  }
}
