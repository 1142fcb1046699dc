/** Writes docs/compatibility.md: node scripts/compatibility.ts */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compatibilityPage } from "../src/cmd/compatibility.ts";

writeFileSync(join(import.meta.dirname, "..", "docs", "compatibility.md"), await compatibilityPage());
