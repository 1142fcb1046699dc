/** A container record as one JSON document: its times, which are bigints, travel as decimal strings. */
import type { ContainerRecord, ContainerState } from "../../core/container.ts";

interface Times {
  startedAt?: bigint;
  finishedAt?: bigint;
}

export function recordToJson(record: ContainerRecord): string {
  return JSON.stringify({ ...record, createdAt: String(record.createdAt), state: stateToJson(record.state) });
}

export function recordFromJson(json: string): ContainerRecord {
  const parsed = JSON.parse(json) as Omit<ContainerRecord, "createdAt" | "state"> & { createdAt: string; state: Record<string, unknown> };
  return { ...parsed, createdAt: BigInt(parsed.createdAt), state: stateFromJson(parsed.state) };
}

function stateToJson(state: ContainerState): Record<string, unknown> {
  const { previous, ...rest } = state as ContainerState & { previous?: Times };
  return { ...timesToJson(rest), ...(previous && { previous: timesToJson(previous) }) };
}

function timesToJson(times: Times): Record<string, unknown> {
  const { startedAt, finishedAt, ...rest } = times;
  return { ...rest, ...(startedAt !== undefined && { startedAt: String(startedAt) }), ...(finishedAt !== undefined && { finishedAt: String(finishedAt) }) };
}

function stateFromJson(json: Record<string, unknown>): ContainerState {
  const { previous, ...rest } = json;
  return { ...timesFromJson(rest), ...(previous !== undefined && { previous: timesFromJson(previous as Record<string, unknown>) }) } as ContainerState;
}

function timesFromJson(json: Record<string, unknown>): Record<string, unknown> {
  const { startedAt, finishedAt, ...rest } = json;
  return { ...rest, ...(startedAt !== undefined && { startedAt: BigInt(startedAt as string) }), ...(finishedAt !== undefined && { finishedAt: BigInt(finishedAt as string) }) };
}
