/** `plan`: what would be done, and nothing is. */
import { basename } from "node:path";
import { bool, string } from "../../lib/flags.ts";
import { compile } from "../compile/compile.ts";
import { detectHost } from "../host.ts";
import { planJson, planText } from "../plan/print.ts";
import { loadBundle } from "./bundle.ts";
import type { Command } from "./command.ts";
import { planUnit } from "./scope.ts";

export const plan: Command = {
  name: "plan",
  usage: "BUNDLE",
  about: "Print what create and start would do, without doing it",
  flags: [
    { name: "json", type: bool },
    { name: "id", type: string },
    { name: "no-pivot", type: bool },
  ],
  arguments: [0, 1],
  async run({ args, flags, caller, systemdCgroup, print, warn }) {
    const bundle = loadBundle(args[0] ?? ".");
    const id = flags.string("id") || basename(bundle.path);
    const planned = systemdCgroup ? await planUnit(bundle.spec, id, caller) : undefined;
    const compiled = compile(planned?.spec ?? bundle.spec, { id, host: detectHost(), bundle: bundle.path, noPivot: flags.bool("no-pivot"), outerHooks: true, warn });
    const unit = planned && { name: planned.unit.name, slice: planned.unit.slice };
    print(flags.bool("json") ? `${planJson({ ...(unit && { unit }), ...compiled })}\n` : `${unit ? `by systemd, before all else:\n  unit ${unit.name} slice=${unit.slice}\n` : ""}${planText(compiled)}`);
    return 0;
  },
};
