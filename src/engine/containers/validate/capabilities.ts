/** CapAdd and CapDrop. */
import { capabilityNames } from "../../../core/oci-defaults.ts";
import { invalidParameter } from "../../../lib/errors.ts";

const known = new Set(capabilityNames);

/** Upper case with the CAP_ prefix; "ALL" stays. Throws Docker's error for unknown names. */
export function normalizeCapabilities(names: readonly string[] | null, field: "CapAdd" | "CapDrop"): string[] {
  return (names ?? []).map((name) => {
    const upper = name.toUpperCase();
    if (upper === "ALL") return upper;
    const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (!known.has(full)) throw invalidParameter(`invalid ${field}: unknown capability: ${JSON.stringify(full)}`);
    return full;
  });
}

/** The capabilities of a container's process: defaults without drops and with adds; everything when privileged. */
export function resolveCapabilities(defaults: readonly string[], settings: { CapAdd: string[] | null; CapDrop: string[] | null; Privileged: boolean }): string[] {
  if (settings.Privileged) return [...capabilityNames];
  const add = normalizeCapabilities(settings.CapAdd, "CapAdd");
  const drop = new Set(normalizeCapabilities(settings.CapDrop, "CapDrop"));
  if (add.includes("ALL")) return capabilityNames.filter((name) => !drop.has(name));
  const base = drop.has("ALL") ? [] : defaults.filter((name) => !drop.has(name));
  return [...new Set([...base, ...add])];
}
