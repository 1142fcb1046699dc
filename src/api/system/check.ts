/** POST /system/check, which is ours: what on the disk is damaged or belongs to nothing; with `repair`, it is put right. */
import type { CheckService } from "../../engine/system/check.ts";
import { boolQuery, sendJson, type Call, type Route } from "../route.ts";

export function checkRoute(service: CheckService): Route {
  return { method: "POST", path: "/system/check", handler: (call) => check(service, call) };
}

async function check(service: CheckService, call: Call): Promise<void> {
  const { counts, problems } = await service.check({ repair: boolQuery(call.query, "repair") });
  sendJson(call, 200, {
    Checked: Object.fromEntries(Object.entries(counts).map(([name, count]) => [capital(name), count])),
    Problems: problems.map((problem) => Object.fromEntries(Object.entries(problem).map(([name, value]) => [capital(name), value as unknown]))),
  });
}

const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
