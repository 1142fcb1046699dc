/** The resident process behind gantry-runtime's command line; native/front starts it with its socket as fd 3. */
import { serve } from "../oci/resident/server.ts";
import manifest from "../../package.json" with { type: "json" };

void serve({ fd: 3, path: process.argv[2]!, version: manifest.version, idleMs: 60_000 }).then(() => process.exit(0));
